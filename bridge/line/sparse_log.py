"""A log for what strangers can have happen thousands of times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

LOG_EVERY_S: Final = 1.0


class SparseLog:
    """Writes each event once a second at most, and with it of how many connections it tells."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._logged_s: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        """How often each event has happened since it was written."""

    def write(self, write: Callable[..., Any], event: str, **context: Any) -> None:
        """Writes an event by `write`, one of structlog's methods, or counts it for the next time."""
        now_s = self._now_s()
        self._untold[event] = self._untold.get(event, 0) + 1
        if now_s - self._logged_s.get(event, now_s - LOG_EVERY_S) >= LOG_EVERY_S:
            write(event, connections=self._untold.pop(event), **context)
            self._logged_s[event] = now_s
