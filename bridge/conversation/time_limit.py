"""How long a call may last. No I/O, the time is handed in."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

WARN_S: Final = 30.0
"""How long before its end the caller is told, or half of a call that may not last twice as long."""


class Limit(StrEnum):
    """What is due."""

    WARN = "warn"
    END = "end"


class TimeLimit:
    """The longest time of one call; 0 for no limit."""

    def __init__(self, max_s: float, start_s: float) -> None:
        self._end_s = start_s + max_s if max_s else math.inf
        self._warn_s = max(self._end_s - WARN_S, start_s + max_s / 2)

    def deadline_s(self) -> float:
        """Returns when `due` has something to return; infinity for never."""
        return min(self._warn_s, self._end_s)

    def due(self, now_s: float) -> Limit | None:
        """Returns what is due by now, once."""
        if self._end_s <= now_s:
            self._warn_s = self._end_s = math.inf
            return Limit.END
        if self._warn_s <= now_s:
            self._warn_s = math.inf
            return Limit.WARN
        return None
