"""When the whole heap is searched for garbage: while nobody is on the line, or else seldom.

Python searches it whenever it has grown by a quarter, and holds the event loop meanwhile: for 35 ms with 250 calls, for
over 200 ms once a thousand calls have come and gone. Every call's frames are late by that. Most of what is dropped is
freed at once, without a search, and what is young is still searched as always, in a few milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

LOOK_S: Final = 1.0
QUIET_S: Final = 30.0
"""The time between two searches while nobody is on the line."""
BUSY_S: Final = 600.0
"""The longest time without a search. An ended call leaves some 20 kB that only a search finds: at ten calls a second
that is 120 MB in this time."""
NEVER: Final = 2**30
"""A threshold that is not reached: so many younger generations would have to be searched before all of the heap."""


class Garbage:
    """Searches the heap in place of Python."""

    def __init__(
        self,
        calls: Callable[[], int],
        collect: Callable[[], object] = gc.collect,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`calls` tells how many calls are in progress."""
        self._calls, self._collect, self._now_s = calls, collect, now_s
        self._searched_s = now_s()
        self._thresholds = gc.get_threshold()

    async def run(self) -> None:
        """Searches when it is time, until cancelled. What is there already is never searched again."""
        self._collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*self._thresholds[:2], NEVER)
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                self.look()
        finally:
            gc.set_threshold(*self._thresholds)

    def look(self) -> None:
        """Searches the heap if it is time for that."""
        now_s = self._now_s()
        if now_s - self._searched_s >= (BUSY_S if self._calls() else QUIET_S):
            self._collect()
            self._searched_s = self._now_s()
