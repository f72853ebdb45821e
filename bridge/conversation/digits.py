"""Gathers the keys a caller presses in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_DIGITS: Final = 64
"""How many keys are gathered at most; no number that one dials is as long."""


class Digits:
    """Hands over the keys pressed in a row once the caller pauses, at `#`, or after MAX_DIGITS."""

    def __init__(self, gap_ms: int, on_pressed: Callable[[str], None]) -> None:
        self._gap_ms = gap_ms
        self._on_pressed = on_pressed
        self._digits = ""
        self._timer: asyncio.TimerHandle | None = None

    def press(self, digit: str) -> None:
        """Adds one key. With a gap of 0 it is handed over at once."""
        self.cancel()
        self._digits += digit
        if self._gap_ms and digit != "#" and len(self._digits) < MAX_DIGITS:
            self._timer = asyncio.get_running_loop().call_later(self._gap_ms / 1000, self._done)
        else:
            self._done()

    def cancel(self) -> None:
        """Hands over nothing until the next key is pressed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _done(self) -> None:
        digits, self._digits = self._digits, ""
        self._on_pressed(digits)
