"""Cuts what a process writes into lines, none of them too long. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_LINE_BYTES: Final = 256 * 1024
"""How long one message may be."""
HEAD_BYTES: Final = 200
"""How much is kept of a line that is too long: its id stands at its beginning."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that is left out."""

    head: bytes


class Lines:
    """Takes bytes as they come and returns whole lines."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_too_long = False

    def push(self, data: bytes) -> list[bytes | TooLong]:
        """Returns the lines that `data` completes, without their ends, and a mark at once for each that is too long."""
        done: list[bytes | TooLong] = []
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._add(part, done)
            if not self._is_too_long:
                done.append(bytes(self._line))
            self._line.clear()
            self._is_too_long = False
        self._add(rest, done)
        return done

    def _add(self, part: bytes, done: list[bytes | TooLong]) -> None:
        if self._is_too_long:
            return
        self._line += part
        if len(self._line) > MAX_LINE_BYTES:
            done.append(TooLong(bytes(self._line[:HEAD_BYTES])))
            self._line.clear()
            self._is_too_long = True
