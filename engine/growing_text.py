"""A text that is still being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from engine.text import Unfinished


class GrowingText:
    """One side calls `write` and `end`, the other iterates once over the pieces and waits for those to come."""

    def __init__(self) -> None:
        self.characters = 0
        self._ended = False
        self._unfinished = False
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, piece: str) -> None:
        """Adds to the text; has no effect after its end."""
        if piece and not self._ended:
            self.characters += len(piece)
            self._pieces.put_nowait(piece)

    def end(self) -> None:
        """Marks the end of the text."""
        self._ended = True
        self._pieces.put_nowait(None)

    def break_off(self) -> None:
        """Ends the text where it is: a sentence that has been begun and is not whole is not to be spoken."""
        self._unfinished = True
        self.end()

    async def __aiter__(self) -> AsyncIterator[str]:
        while (piece := await self._pieces.get()) is not None:
            yield piece
        if self._unfinished:
            raise Unfinished
