"""Gathers the keys a caller presses in a row, and what the caller says meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_DIGITS: Final = 64
"""How many keys are gathered at most; no number that one dials is as long."""


class Digits:
    """Hands over the keys pressed in a row once the caller pauses, at `#`, or after MAX_DIGITS.

    Words that come meanwhile are handed over with the keys: they are one answer, and get one.
    """

    def __init__(self, gap_ms: int, on_pressed: Callable[[str, str], None]) -> None:
        self.gap_ms = gap_ms
        self._on_pressed = on_pressed
        self._digits = ""
        self._said: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def press(self, digit: str) -> None:
        """Adds one key. With a gap of 0 it is handed over at once."""
        self.cancel()
        self._digits += digit
        if self.gap_ms and digit != "#" and len(self._digits) < MAX_DIGITS:
            self._timer = asyncio.get_running_loop().call_later(self.gap_ms / 1000, self._done)
        else:
            self._done()

    @property
    def waiting(self) -> bool:
        """Tells whether keys have been pressed and more may come."""
        return self._timer is not None

    def say(self, text: str) -> None:
        """Adds words that the caller said between the keys."""
        self._said.append(text)

    def cancel(self) -> None:
        """Hands over nothing until the next key is pressed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _done(self) -> None:
        self.cancel()
        digits, self._digits = self._digits, ""
        said, self._said = " ".join(self._said), []
        self._on_pressed(digits, said)
