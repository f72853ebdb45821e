"""How fast a client takes its audio, and when it is too slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class SlowReader(Exception):
    """The client took its audio more slowly than it plays, for too long."""


class Pace:
    """The time that a client is given: as long as the audio that it was sent plays, and `slack_s` besides."""

    def __init__(self, slack_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._slack_s = self._left_s = slack_s
        self._clock = clock
        self._sending_since_s = 0.0
        self._patience: asyncio.Timeout | None = None
        """It runs while the client is waited for."""

    @property
    def behind_s(self) -> float:
        """How much longer the client has been waited for than its audio plays; 0 if it is not waited for now."""
        if self._patience is None:
            return 0.0
        return self._slack_s - self._left_s + self._clock() - self._sending_since_s

    def give_up(self) -> None:
        """Has what is being sent raise SlowReader."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def send(self, sending: Awaitable[None], duration_s: float) -> None:
        """Waits until the client has taken what is being sent, which plays for `duration_s`. Raises SlowReader."""
        self._sending_since_s = self._clock()
        self._left_s += duration_s
        try:
            async with asyncio.timeout(max(0.0, self._left_s)) as self._patience:
                await sending
        except TimeoutError:
            raise SlowReader from None
        finally:
            self._patience = None
            self._left_s -= self._clock() - self._sending_since_s
