"""A timer that is set anew whenever what it waits for may have changed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Calls `ring` once it is time, for as long as it is set."""

    def __init__(self, deadline_s: Callable[[], float], ring: Callable[[], None], now_s: Callable[[], float]) -> None:
        """`deadline_s` returns when it is to ring; infinity for never."""
        self._deadline_s = deadline_s
        self._ring = ring
        self._now_s = now_s
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Waits for the present deadline, and no longer for an earlier one."""
        self.cancel()
        due_s = self._deadline_s()
        if due_s < math.inf:
            wait_s = max(due_s - self._now_s(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def cancel(self) -> None:
        """Waits for nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
