"""A text that is still being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class GrowingText:
    """One side calls `write` and `end`, the other iterates over the pieces and waits for those to come."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, piece: str) -> None:
        """More of it."""
        self._pieces.put_nowait(piece)

    def end(self) -> None:
        """That was all."""
        self._pieces.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (piece := await self._pieces.get()) is not None:
            yield piece
