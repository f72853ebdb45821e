"""Measures how long the GPU works for us, by events in its own queues; nothing waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_Span = tuple[Any, Any, float | None]


def _mark() -> Any:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


class GpuTimer:
    """Times pieces of work on any streams. A moment in which two of them run counts once."""

    def __init__(self) -> None:
        self._running: deque[_Span] = deque()
        self._last: Any = None
        """The latest end that has been counted: what lies before it has been counted too, or nothing ran then."""

    @contextmanager
    def timing(self, expected_s: float | None = None) -> Iterator[None]:
        """Times what is launched within on the current stream.

        `expected_s` is what it takes on a GPU with nothing else to do; None where that is not known.
        """
        begin = _mark()
        yield
        self._running.append((begin, _mark(), expected_s))

    def collect(self) -> tuple[float, float]:
        """Returns the seconds that the work ended since the last call took, overlaps once, and those expected of it."""
        ended: list[_Span] = []
        while self._running and self._running[0][1].query():
            ended.append(self._running.popleft())
        if not ended:
            return 0.0, 0.0
        last = ended[0][0] if self._last is None else self._last
        spans = sorted(
            ((last.elapsed_time(begin), last.elapsed_time(end), end, expected_s) for begin, end, expected_s in ended),
            key=lambda span: span[:2],
        )
        busy_ms = counted_ms = expected_s = 0.0
        for begin_ms, end_ms, end, expected in spans:
            expected_s += (end_ms - begin_ms) / 1e3 if expected is None else expected
            busy_ms += max(0.0, end_ms - max(begin_ms, counted_ms))
            if end_ms >= counted_ms:
                counted_ms, self._last = end_ms, end
        return busy_ms / 1e3, expected_s
