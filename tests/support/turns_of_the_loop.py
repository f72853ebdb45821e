"""The turns of the event loop that are left to others: how many, and how long the longest was in processor time.

Other programs do not count. As in the server, the garbage collector does not look at what was there before.
"""

from __future__ import annotations

import asyncio
import gc
import time
from types import TracebackType
from typing import Self


class TurnsOfTheLoop:
    """Use it in a `with`, inside the loop."""

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self._loop = asyncio.get_running_loop()
        self._since_s = time.thread_time()
        self._next = self._loop.call_soon(self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._next.cancel()
        gc.unfreeze()

    def _look(self) -> None:
        now_s = time.thread_time()
        self.longest_s = max(self.longest_s, now_s - self._since_s)
        self._since_s = now_s
        self.count += 1
        self._next = self._loop.call_soon(self._look)
