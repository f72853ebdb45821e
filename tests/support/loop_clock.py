"""The event loop's clock, which a test moves on at will: timeouts of seconds pass at once."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class LoopClock:
    """Use it in a `with`, inside the loop."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._skipped_s = 0.0
        real = self._loop.time
        self._loop.time = lambda: real() + self._skipped_s  # type: ignore[method-assign]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        del self._loop.time  # type: ignore[method-assign]

    def now_s(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def advance(self, seconds: float) -> None:
        """What was due in so many seconds is due now."""
        self._skipped_s += seconds
