"""A model that writes hardly anything is taken for one that writes nothing; one that is merely slow is not."""

from __future__ import annotations

from bridge.brains.pace import Pace

TIMEOUT_S = 8.0


def deadlines_s(*written: tuple[float, str]) -> list[float]:
    """Returns by when more had to come, after each piece of an answer."""
    pace = Pace(TIMEOUT_S)
    return [pace.wrote(now_s, words) for now_s, words in written]


def test_a_word_now_and_then_is_waited_for_no_longer_than_nothing() -> None:
    assert deadlines_s((0.0, "Your "), (7.0, "parcel ")) == [8.0, 8.0]


def test_a_long_sentence_of_a_slow_model_has_its_time() -> None:
    words = [(number * 0.5, "four ") for number in range(60)]  # ten characters a second, for half a minute
    assert all(by_s > now_s + 0.5 for (now_s, _), by_s in zip(words, deadlines_s(*words), strict=True))


def test_each_sentence_has_the_whole_time() -> None:
    assert deadlines_s((0.0, "Yes. "), (7.0, "It "), (14.0, "is "), (14.5, "so。")) == [8.0, 15.0, 15.0, 22.5]


def test_a_model_that_writes_whole_lines_seldom_is_waited_for() -> None:
    assert deadlines_s((0.0, "First\n"), (7.0, "Second\n")) == [8.0, 15.0]
