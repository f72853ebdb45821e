"""Notes when the caller spoke, for the transcript and for the trace of the answering turn. No I/O, injected clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from bridge.conversation.journal import Journal
from bridge.conversation.trace import Mark, TurnTrace

FORGOTTEN_S: Final = 15.0
"""How long after speech its words may come. Later there were none, or they came with those of the next."""
MAX_UNTOLD: Final = 16


class CallerSpeech:
    """The caller's stretches of speech whose words have not come. Times in milliseconds count from the answer."""

    def __init__(self, journal: Journal, now_s: Callable[[], float]) -> None:
        self._journal = journal
        self._now_s = now_s
        self._answered_s = now_s()
        self._untold: deque[tuple[int, float]] = deque(maxlen=MAX_UNTOLD)
        """Start in ms, and end in seconds of the clock, of those that are over, oldest first."""
        self._start_ms: int | None = None
        """When the stretch began that goes on; None while the caller is silent."""
        self._stopped_ms = 0
        """When the latest stretch was over. One whose start nobody has told began no earlier."""
        self._told_early = False
        """True if the words of the stretch that goes on have come already."""
        self._end_s: float | None = None
        """The end of the latest stretch that has not been answered."""
        self._known_s = 0.0
        """When that end was told."""

    def started(self, start_ms: int | None) -> None:
        """Notes that the caller began to speak at `start_ms`, or now if it is None."""
        if self._start_ms is None:
            self._start_ms = self._journal.clock_ms() if start_ms is None else start_ms
            self._told_early = False
            self._journal.note("caller.started", start_ms=self._start_ms)

    def stopped(self, end_ms: int | None) -> None:
        """Notes that the caller fell silent at `end_ms`, or now if it is None."""
        self._journal.note("caller.stopped", end_ms=self._journal.clock_ms() if end_ms is None else end_ms)
        if self._told_early:
            self._told_early = False
            return
        now_s = self._known_s = self._now_s()
        self._end_s = now_s if end_ms is None else min(self._answered_s + end_ms / 1000, now_s)
        start_ms, self._start_ms = self._start_ms, None
        self._untold.append((self._stopped_ms if start_ms is None else start_ms, self._end_s))
        self._stopped_ms = round((self._end_s - self._answered_s) * 1000)

    def said(self, text: str) -> None:
        """Writes the words of the oldest stretch whose words have not come into the journal; none if it had none."""
        while len(self._untold) > 1 and self._now_s() - self._untold[0][1] > FORGOTTEN_S:
            self._untold.popleft()
        now_ms = self._journal.clock_ms()
        if self._untold:
            start_ms, end_s = self._untold.popleft()
            end_ms = round((end_s - self._answered_s) * 1000)
        else:
            start_ms, end_ms = now_ms if self._start_ms is None else self._start_ms, now_ms
            self._told_early, self._start_ms = self._start_ms is not None, None
        if text:
            self._journal.user(text, start_ms, end_ms)

    def trace(self) -> TurnTrace:
        """Returns the trace of the turn that answers what was said."""
        trace = TurnTrace()
        if self._end_s is not None:
            trace.mark(Mark.SPEECH_END, self._end_s)
            trace.mark(Mark.END_KNOWN, self._known_s)
            self._end_s = None
        trace.mark(Mark.TRANSCRIPT, self._now_s())
        return trace
