"""Notes when the caller spoke, for the transcript and for the trace of the answering turn. No I/O, injected clock."""

from __future__ import annotations

from collections.abc import Callable

from bridge.conversation.journal import Journal
from bridge.conversation.trace import Mark, TurnTrace


class CallerSpeech:
    """The caller's latest stretch of speech. Times in milliseconds count from the moment the call was answered."""

    def __init__(self, journal: Journal, now_s: Callable[[], float]) -> None:
        self._journal = journal
        self._now_s = now_s
        self._answered_s = now_s()
        self._start_ms = 0
        self._end_s: float | None = None

    def started(self, start_ms: int | None) -> None:
        """Notes that the caller began to speak at `start_ms`, or now if it is None."""
        self._start_ms = self._journal.clock_ms() if start_ms is None else start_ms

    def stopped(self, end_ms: int | None) -> None:
        """Notes that the caller fell silent at `end_ms`, or now if it is None."""
        now_s = self._now_s()
        self._end_s = now_s if end_ms is None else min(self._answered_s + end_ms / 1000, now_s)

    def said(self, text: str) -> None:
        """Writes the words of the latest stretch of speech into the journal."""
        end_ms = self._journal.clock_ms() if self._end_s is None else round((self._end_s - self._answered_s) * 1000)
        self._journal.user(text, self._start_ms, end_ms)

    def trace(self) -> TurnTrace:
        """Returns the trace of the turn that answers what was said."""
        trace = TurnTrace()
        if self._end_s is not None:
            trace.mark(Mark.SPEECH_END, self._end_s)
            self._end_s = None
        trace.mark(Mark.TRANSCRIPT, self._now_s())
        return trace
