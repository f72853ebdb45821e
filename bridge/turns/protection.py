"""The time in which the caller's sound is not acted on: an echo's, or the protected beginning of a greeting."""

from __future__ import annotations

import math


class BargeInProtection:
    """One reply's protection. What is heard within it counts when it ends. The time is handed in."""

    def __init__(self) -> None:
        self.sound = False
        """The caller's sound of now began within it."""
        self.words = ""
        """Said within it."""
        self._until_s = -math.inf

    def hold(self, until_s: float) -> None:
        """It lasts until then, or longer."""
        self._until_s = max(self._until_s, until_s)

    def holds(self, now_s: float) -> bool:
        """It has not ended."""
        return now_s < self._until_s

    def deadline_s(self) -> float:
        """When it is to be looked at what was heard within it; infinity for never."""
        return self._until_s if self.sound else math.inf

    def hear(self, text: str) -> None:
        """All the words of a stretch of speech within it."""
        self.words = f"{self.words} {text}".strip()

    def end(self) -> str:
        """It is over, or its reply is; returns what was said within it."""
        words, self.words = self.words, ""
        self.sound = False
        self._until_s = -math.inf
        return words
