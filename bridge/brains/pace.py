"""Whether a model writes so slowly that its caller waits in silence. No I/O, the time is handed in."""

from __future__ import annotations

from typing import Final

from engine.text import END_MARKS

SLOWEST_CHARS_PER_S: Final = 4.0
"""A third of the pace at which words are spoken: a model that is slower has stalled."""
_ENDS: Final = frozenset((*END_MARKS, "\n"))


class Pace:
    """The sentence that is being written: nothing of it is spoken before it is whole."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._chars = 0
        """How long the sentence is so far."""
        self._begun_s = 0.0
        """When its first words came."""

    def wrote(self, now_s: float, words: str) -> float:
        """Notes words that are no white space alone; returns by when there have to be more."""
        if not self._chars:
            self._begun_s = now_s
        self._chars = 0 if _ENDS.intersection(words) else self._chars + len(words)
        earned_s = max(self._timeout_s, self._chars / SLOWEST_CHARS_PER_S)
        return min(now_s + self._timeout_s, self._begun_s + earned_s) if self._chars else now_s + self._timeout_s
