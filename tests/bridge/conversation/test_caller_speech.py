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
    line.speech.said("two pizzas")
    assert line.times() == [("two pizzas", 900, 2_400)]
    assert line.speech.trace().stages_ms() == {"speech_end_ms": 0, "transcript_ms": 600}
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


def test_an_end_that_has_not_come_yet_is_now() -> None:
    line = Line()
    line.now_s = 101.0
    line.speech.stopped(5_000)
    line.speech.said("two pizzas")
    assert line.times() == [("two pizzas", 0, 1_000)]
