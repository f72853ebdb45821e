"""What has arrived of one sentence and waits for the one who listens."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from engine.link.frames import Frame
from engine.speech import Priority, Style

SILENT_LOOKS: Final = 10
"""A call's sentence of which nothing came between so many looks is stuck, and its caller hears silence."""


class Arrived:
    """The frames of one sentence, in order: what of `asyncio.Queue` is needed, at half of its cost."""

    __slots__ = ("_live", "_looks", "_needed_at_s", "_waiter", "frames")

    def __init__(self, style: Style) -> None:
        self.frames: deque[Frame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._live = style.priority is Priority.CALL
        self._needed_at_s = style.needed_at_s or 0.0
        self._looks = 0

    def put(self, frame: Frame) -> None:
        """Adds a frame."""
        self.frames.append(frame)
        self._looks = 0
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> Frame:
        """Waits for a frame where there is none, and takes it out."""
        while not self.frames:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.frames.popleft()

    def stays_away(self, now_s: float) -> bool:
        """Looks whether anything has come. Tells whether a caller waits in vain."""
        if self._live and now_s > self._needed_at_s:
            self._looks += 1
        return self._looks >= SILENT_LOOKS
