"""The transcript and the trace say when the caller spoke."""

from __future__ import annotations

from bridge.conversation.caller_speech import CallerSpeech
from bridge.conversation.journal import Journal


class Line:
    """A caller, and a clock that moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.journal = Journal("c", lambda: round((self.now_s - 100.0) * 1000))
        self.speech = CallerSpeech(self.journal, lambda: self.now_s)

    def times(self) -> list[tuple[str, int, int]]:
        return [(entry.text, entry.start_ms, entry.end_ms) for entry in self.journal.entries]


def test_a_recognizer_that_tells_when() -> None:
    line = Line()
    line.now_s = 103.0
    line.speech.started(900)
    line.speech.stopped(2_400)
    line.now_s = 103.2
    line.speech.said("two pizzas")
    assert line.times() == [("two pizzas", 900, 2_400)]
    assert line.speech.trace().stages_ms() == {"speech_end_ms": 0, "end_known_ms": 600, "transcript_ms": 800}
    assert line.speech.trace().stages_ms() == {"transcript_ms": 0}, (
        "the next turn does not begin with this speech's end"
    )


def test_a_recognizer_that_does_not() -> None:
    line = Line()
    line.now_s = 101.0
    line.speech.started(None)
    line.now_s = 102.0
    line.speech.stopped(None)
    line.now_s = 102.5
    line.speech.said("two pizzas")
    assert line.times() == [("two pizzas", 1_000, 2_000)]


def test_words_that_come_after_the_caller_has_gone_on_have_their_own_times() -> None:
    line = Line()
    line.now_s = 102.0
    line.speech.started(1_000)
    line.now_s = 103.0
    line.speech.stopped(2_500)
    line.now_s = 103.2
    line.speech.started(3_100)
    line.speech.said("two pizzas")
    line.now_s = 105.0
    line.speech.stopped(4_500)
    line.speech.said("and a cola")
    assert line.times() == [("two pizzas", 1_000, 2_500), ("and a cola", 3_100, 4_500)]


def test_a_stretch_without_words_lends_its_times_to_no_other() -> None:
    line = Line()
    line.speech.started(0)
    line.now_s = 101.0
    line.speech.stopped(500)
    line.speech.said("")
    line.now_s = 103.0
    line.speech.started(2_000)
    line.speech.stopped(2_900)
    line.speech.said("two pizzas")
    line.now_s = 104.0
    line.speech.started(3_500)
    line.speech.stopped(3_900)  # nothing is ever told of it
    line.now_s = 124.0
    line.speech.started(23_000)
    line.speech.stopped(23_900)
    line.speech.said("and a cola")
    assert line.times() == [("two pizzas", 2_000, 2_900), ("and a cola", 23_000, 23_900)]


def test_an_end_that_comes_after_its_words_belongs_to_no_others() -> None:
    line = Line()
    line.now_s = 103.0
    line.speech.started(1_000)
    line.speech.said("two pizzas")
    line.speech.stopped(2_900)
    line.now_s = 106.0
    line.speech.started(5_000)
    line.speech.stopped(5_900)
    line.speech.said("and a cola")
    assert line.times() == [("two pizzas", 1_000, 3_000), ("and a cola", 5_000, 5_900)]


def test_a_start_told_twice_began_the_first_time() -> None:
    line = Line()
    line.now_s = 103.0
    line.speech.started(1_000)
    line.speech.started(2_000)
    line.speech.stopped(2_900)
    line.speech.said("two pizzas")
    assert line.times() == [("two pizzas", 1_000, 2_900)]


def test_an_end_that_has_not_come_yet_is_now() -> None:
    line = Line()
    line.now_s = 101.0
    line.speech.stopped(5_000)
    line.speech.said("two pizzas")
    assert line.times() == [("two pizzas", 0, 1_000)]


def test_an_end_without_a_start_is_no_speech_since_the_answer() -> None:
    line = Line()
    line.now_s = 130.0
    line.speech.started(29_000)
    line.speech.started(29_200)  # a second stretch begins before the first is over
    line.speech.stopped(29_500)
    line.speech.stopped(29_900)
    line.speech.said("hello")
    line.speech.said("are you there")
    assert line.times() == [("hello", 29_000, 29_500), ("are you there", 29_500, 29_900)]
