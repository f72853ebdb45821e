"""Lines for a caller who does not answer, one after the other, and then the fallback."""

from __future__ import annotations

from typing import Final

from bridge.brains.brain import Fallback, Piece, Say

LEAST_PROMPTS: Final = 2
"""How many prompts in a row there are at least; the last line is said again if there are fewer lines."""


class PromptLines:
    """Counts the prompts that were of no use in a row."""

    def __init__(self, lines: str) -> None:
        """The lines are parted by `|`."""
        self._lines = [line.strip() for line in lines.split("|") if line.strip()]
        self._count = 0

    def next(self) -> list[Piece]:
        """Returns what is to be said and done now."""
        self._count += 1
        if self._count > max(len(self._lines), LEAST_PROMPTS):
            return [Fallback()]
        return [Say(self._lines[min(self._count, len(self._lines)) - 1])] if self._lines else []

    def answered(self) -> None:
        """Notes that the caller has answered: the next prompt is the first again."""
        self._count = 0
