"""Whether the clock of all calls is late all the time: its core carries as many calls as it can. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bridge.line.clock import TICK_S, missed_ticks

WINDOW_S: Final = 3
"""How long the clock has to run late until no more calls are taken: one stall, however long, is no overload."""
GAP_S: Final = 2
"""A core that is far too busy does not reach its clock in every second. After a longer gap there were no calls."""
LATE_SHARE: Final = 0.25
"""The share of frames late by a whole one, or left out, from which on more calls would be heard in all others."""


@dataclass(slots=True)
class _Second:
    began_s: int
    due: int = 0
    late: int = 0


class RecentLateness:
    """How many of the frames that were due in the last seconds were late, or left out.

    Calls are alike, so each moment counts as one frame, and those that it leaves out as well.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._seconds: deque[_Second] = deque(maxlen=WINDOW_S + 1)

    def note(self, late_s: float) -> None:
        """Takes how late the clock was at one moment."""
        second = int(self._now_s())
        if not self._seconds or self._seconds[-1].began_s != second:
            self._seconds.append(_Second(second))
        missed = missed_ticks(late_s)
        self._seconds[-1].due += missed + 1
        self._seconds[-1].late += missed + (late_s >= TICK_S)

    def is_overloaded(self) -> bool:
        """Tells whether each of the last whole seconds had so many late frames that no call is to be added."""
        second = int(self._now_s())
        whole = [each for each in self._seconds if each.began_s < second][-WINDOW_S:]
        begins_s = [*(each.began_s for each in whole), second]
        return (
            len(whole) == WINDOW_S
            and all(later_s - earlier_s <= GAP_S for earlier_s, later_s in pairwise(begins_s))
            and all(each.late >= LATE_SHARE * each.due for each in whole)
        )
