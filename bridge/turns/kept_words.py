"""Keeps what was said while the agent could not be interrupted, to be answered when it has finished. No I/O."""

from __future__ import annotations

from bridge.turns.words import MAX_SAID_CHARS


class KeptWords:
    """Words that wait for their answer, MAX_SAID_CHARS at most."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._texts)

    def add(self, text: str) -> None:
        """Keeps these words too, as far as there is room."""
        room = MAX_SAID_CHARS - sum(len(kept) + 1 for kept in self._texts)
        if text and room > 0:
            self._texts.append(text[:room])

    def before(self, text: str) -> str:
        """Returns the words kept, and then `text`, if any."""
        return " ".join([*self._texts, text] if text else self._texts)

    def clear(self) -> None:
        """Forgets the words."""
        self._texts.clear()
