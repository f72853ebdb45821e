"""Protects a reply from barge-in for a time: against the agent's own echo, or while a greeting begins."""

from __future__ import annotations

import math

from bridge.turns.words import MAX_SAID_CHARS


class BargeInProtection:
    """The protection of one reply. What is heard while it holds counts when it ends. The time is handed in."""

    def __init__(self) -> None:
        self.sound = False
        """Tells whether the caller's present sound began while the protection held."""
        self.words = ""
        """What was said while the protection held."""
        self._until_s = -math.inf

    def hold(self, until_s: float) -> None:
        """Makes the protection hold until `until_s` at least."""
        self._until_s = max(self._until_s, until_s)

    def holds(self, now_s: float) -> bool:
        """Tells whether the protection holds at `now_s`."""
        return now_s < self._until_s

    def deadline_s(self) -> float:
        """Returns when what was heard during the protection is to be acted on; infinity for never."""
        return self._until_s if self.sound else math.inf

    def hear(self, text: str) -> None:
        """Adds all the words of a stretch of speech during the protection."""
        self.words = f"{self.words} {text}".strip()[:MAX_SAID_CHARS]

    def end(self) -> str:
        """Ends the protection and returns what was said while it held."""
        words, self.words = self.words, ""
        self.sound = False
        self._until_s = -math.inf
        return words
