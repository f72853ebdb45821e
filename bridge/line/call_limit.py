"""How many calls the core was found to carry: fewer than those with which its clock was late. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.line.recent_lateness import RecentLateness

SHARE: Final = 0.9
"""The share of the calls with which the clock was late that a call is added to. Without it the places of those that end
are taken at once, and frames go on to be late in all others for most of the time."""
GROWS_S: Final = 60.0
"""How long it takes until as many calls are tried as were too many. What made the clock late may be over."""
LEAST: Final = 10
"""With fewer calls it is other programs that make the clock late: then none is added only while it is."""


class CallLimit:
    """Takes no calls while the clock is late, and then no more than somewhat fewer than those with which it was.

    The limit grows slowly, and is forgotten once it is as far above what was too many as it was below.
    """

    def __init__(self, calls: Callable[[], int], now_s: Callable[[], float]) -> None:
        """`calls` tells how many calls the clock has."""
        self._calls, self._now_s = calls, now_s
        self._lateness = RecentLateness(now_s)
        self._second = 0
        self._too_many: int | None = None
        """The calls with which the clock was late last; None where that is long ago."""
        self._late_at_s = 0.0
        """When that was."""

    def note(self, late_s: float) -> None:
        """Takes how late the clock was at one moment."""
        self._lateness.note(late_s)
        now_s = self._now_s()
        if int(now_s) == self._second:
            return
        self._second = int(now_s)
        if self._lateness.is_overloaded():
            self._too_many, self._late_at_s = self._calls(), now_s
        elif now_s - self._late_at_s > 2 * GROWS_S:
            self._too_many = None

    def is_reached(self, calls: int) -> bool:
        """Tells whether no call is to be added to so many."""
        if self._lateness.is_overloaded():
            return True
        if self._too_many is None:
            return False
        grown = min(2.0, (self._now_s() - self._late_at_s) / GROWS_S)
        return calls >= max(LEAST, self._too_many * (SHARE + (1 - SHARE) * grown))
