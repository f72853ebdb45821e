"""How long something takes of one core, whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

TRIES: Final = 5
"""A single try may meet the garbage collector, cold caches, or another program on the other half of its core."""


def least_s(work: Callable[[], object], *, enough_s: float = 0.0) -> float:
    """Returns the least processor time of this thread that `work` took in `TRIES`; one of `enough_s` is the last."""
    least = float("inf")
    for _ in range(TRIES):
        begun_s = time.thread_time()
        work()
        least = min(least, time.thread_time() - begun_s)
        if least <= enough_s:
            break
    return least
