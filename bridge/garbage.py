"""When the whole heap is searched for garbage: while nobody is on the line, or else seldom.

Python searches it whenever it has grown by a quarter, and holds the event loop meanwhile: for 35 ms with 250 calls, for
over 200 ms once a thousand calls have come and gone. Every call's frames are late by that. Most of what is dropped is
freed at once, without a search, and what is young is still searched as always, in a few milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOK_S: Final = 1.0
QUIET_S: Final = 30.0
"""The time between two searches while nobody is on the line."""
BUSY_S: Final = 600.0
"""The longest time without a search."""
GROWN_BYTES: Final = 256 * 2**20
"""By so much memory may grow until the heap is searched, whoever is on the line. An ended call leaves 20 to 100 kB that
only a search finds, and a connection that was closed some more. What 250 calls and 64 clients of the speech endpoints
work with is less: a search for its sake would find nothing, and make frames late."""
NEVER: Final = 2**30
"""A threshold that is not reached: so many younger generations would have to be searched before all of the heap."""


def resident_bytes() -> int:
    """Returns this process's resident memory, or 0 where the system does not tell it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Garbage:
    """Searches the heap in place of Python."""

    def __init__(
        self,
        calls: Callable[[], int],
        collect: Callable[[], object] = gc.collect,
        now_s: Callable[[], float] = time.monotonic,
        memory_bytes: Callable[[], int] = resident_bytes,
    ) -> None:
        """`calls` tells how many calls are in progress."""
        self._calls, self._collect, self._now_s, self._memory_bytes = calls, collect, now_s, memory_bytes
        self._searched_s, self._then_bytes = now_s(), memory_bytes()
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
        since_s = self._now_s() - self._searched_s
        grown = self._memory_bytes() - self._then_bytes >= GROWN_BYTES
        if grown or since_s >= (BUSY_S if self._calls() else QUIET_S):
            self._collect()
            self._searched_s, self._then_bytes = self._now_s(), self._memory_bytes()
