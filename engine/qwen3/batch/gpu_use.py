"""How much of the GPU the batch takes, as measured while it works, and how much of it somebody else takes."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 4.0
"""The time over which the GPU's use is averaged."""
SLACK: Final = 1.15
"""Work that takes up to so many times what it took at the start is not held against a neighbour: a frame late in its
sentence reads more of the cache, and a launch from the host is a little later than one from a queue."""


class GpuUse:
    """Sums up the work of the last seconds: how long it took, and how long it would have taken on a GPU of our own.

    Times are in seconds of any one clock.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._work: deque[tuple[float, float, float]] = deque()
        self._busy_s = self._expected_s = 0.0

    def add(self, now_s: float, busy_s: float, expected_s: float) -> None:
        """Notes work that took `busy_s`, overlaps counted once, and by the start's measurement takes `expected_s`."""
        self._work.append((now_s, busy_s, expected_s))
        self._busy_s += busy_s
        self._expected_s += expected_s
        self._forget(now_s)

    def load(self, now_s: float) -> float:
        """Returns the share of the last seconds in which the GPU worked for the batch, waiting for others included."""
        self._forget(now_s)
        return min(1.0, self._busy_s / self._window_s)

    def lost(self, expected: float) -> float:
        """Returns the share of real time that others would take from work that alone takes the share `expected`.

        Who shares the GPU either slows all work down alike, which costs in proportion to the work, or stops it now and
        then, which costs the same whatever the work. Both fit what was measured; the smaller of the two is taken, and
        the next seconds show whether it was right.
        """
        lost_s = self._busy_s - SLACK * self._expected_s
        if lost_s <= 0 or self._expected_s <= 0:
            return 0.0
        return min(lost_s / self._window_s, expected * lost_s / self._expected_s)

    def _forget(self, now_s: float) -> None:
        while self._work and self._work[0][0] <= now_s - self._window_s:
            _, busy_s, expected_s = self._work.popleft()
            self._busy_s -= busy_s
            self._expected_s -= expected_s
        if not self._work:
            self._busy_s = self._expected_s = 0.0  # what rounding has left
