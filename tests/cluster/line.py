"""One connection of a caller's, and what comes over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from bridge.dial.caller import Caller
from tests.cluster.ear import Ear

POLL_S: Final = 0.03


class Ended(Exception):
    """The server's side of the call has ended."""


class Line:
    """Lets an ear hear what comes."""

    def __init__(self, call_id: UUID, ear: Ear, patience_s: float) -> None:
        self.caller = Caller(call_id=call_id, keep_audio=True)
        self._ear, self._patience_s = ear, patience_s
        self._heard = 0

    async def connect(self, port: int) -> None:
        """Connects to a server of loopback. Raises CannotCall."""
        await self.caller.connect("127.0.0.1", port)

    async def until(self, is_so: Callable[[], bool]) -> bool:
        """Listens until something is so, and returns True; False after the caller's patience without a sound.

        Raises Ended.
        """
        began_s = time.monotonic()
        while True:
            self._listen()
            if is_so():
                return True
            if self.caller.hung_up_s is not None:
                raise Ended
            if time.monotonic() > max(began_s, self._ear.voiced_s) + self._patience_s:
                return False
            await asyncio.sleep(POLL_S)

    async def hear_for(self, seconds: float) -> None:
        """Listens for a while. Raises Ended."""
        until_s = time.monotonic() + seconds
        await self.until(lambda: time.monotonic() > until_s)

    def _listen(self) -> None:
        received = self.caller.received
        times_s, frames = received.arrivals_s[self._heard :], received.audio[self._heard :]
        self._heard += len(frames)
        for at_s, (_, payload) in zip(times_s.tolist(), frames, strict=True):
            self._ear.feed(payload, at_s)
