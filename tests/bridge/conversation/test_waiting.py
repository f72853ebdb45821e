"""The filler's clock runs from the caller's first unanswered words."""

from __future__ import annotations

from bridge.conversation.reply import Filler
from bridge.conversation.waiting import Waiting


class Line:
    """A caller who waits, and a clock that moves only when told to."""

    def __init__(self, after_ms: int = 2_000) -> None:
        self.now_s = 100.0
        self.waiting = Waiting(Filler("One moment.", after_ms), lambda: self.now_s)


def test_an_answer_begun_anew_gets_what_is_left_of_the_wait() -> None:
    line = Line()
    assert line.waiting.filler() == Filler("One moment.", 2_000)
    line.waiting.asked()
    line.now_s += 1.5
    line.waiting.asked()
    assert line.waiting.filler() == Filler("One moment.", 500)
    line.now_s += 5
    assert line.waiting.filler() == Filler("One moment.", 1), "it is due"


def test_the_filler_is_said_once_and_again_only_after_an_answer() -> None:
    line = Line()
    line.waiting.asked()
    line.waiting.filled()
    assert line.waiting.filler() == Filler()
    line.waiting.over()
    line.waiting.asked()
    assert line.waiting.filler() == Filler("One moment.", 2_000)


def test_no_filler_stays_none() -> None:
    assert Line(after_ms=0).waiting.filler() == Filler()
