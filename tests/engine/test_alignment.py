"""Where words of one wording lie among those of another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alignment import positions

WORDS = st.lists(st.sampled_from(["one", "two", "Three,", "4", "-", "twenty-five", "$5"]), max_size=12)


@pytest.mark.parametrize(
    ("written", "spoken", "expected"),
    [
        ("Hello, there!", "hello there", [0, 1]),
        ("It costs $5 now.", "It costs five dollars now.", [0, 1, 2, 4]),
        ("On 3/4 at 9 a.m. we open", "On March fourth at nine ay em we open", [0, 1, 3, 4, 5, 7, 8]),
        ("Wait - there is more", "Wait there is more", [0, 1, 1, 2, 3]),
        ("ten ten ten", "ten ten ten", [0, 1, 2]),
        ("", "", []),
    ],
)
def test_a_word_lies_where_it_is_said(written: str, spoken: str, expected: list[float]) -> None:
    assert positions(written.split(), spoken.split()) == pytest.approx(expected, abs=0.5)


def test_words_said_as_one_share_it() -> None:
    first, second, third = positions(["a", "lot", "more"], ["alot", "more"])
    assert first == 0
    assert 0 < second < 1
    assert third == 1


@given(WORDS, WORDS)
def test_places_are_in_order_and_within(words: list[str], others: list[str]) -> None:
    places = positions(words, others)
    assert len(places) == len(words)
    assert places == sorted(places)
    assert all(0 <= place <= len(others) for place in places)


@given(WORDS)
def test_the_same_words_lie_at_themselves(words: list[str]) -> None:
    assert positions(words, words) == list(range(len(words)))
