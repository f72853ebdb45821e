"""Watches what our side writes on one call's line: one frame a tick from the accept to the end, and never a burst."""

from __future__ import annotations

import math
from collections.abc import Callable

from bridge.line.audiosocket import Kind
from bridge.line.clock import CATCH_UP_S, TICK_S

FRAME_BYTES = 320
SLACK_S = 1e-6


class LineWatch:
    """Is told of every write at the moment at which it happens."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.frames: list[bytes] = []
        """Every frame, with its header."""
        self.at_s: list[float] = []
        """When each of them was written."""
        self.hung_up_s: float | None = None
        self.accepted_s = 0.0
        self.problems: list[str] = []

    def accepted(self) -> None:
        """Begins to count."""
        self.accepted_s = self._clock()

    def written(self, data: bytes) -> None:
        """Takes what was written: one message, whole."""
        now_s = self._clock()
        if self.hung_up_s is not None:
            self.problems.append(f"{data[:3].hex()} written after the hang-up")
        elif data[0] == Kind.HANGUP:
            self.hung_up_s = now_s
            if len(data) != 3:
                self.problems.append("a hang-up with more behind it")
        elif data[0] != Kind.SLIN8 or len(data) != 3 + FRAME_BYTES:
            self.problems.append(f"a write that is no frame: {data[:3].hex()}, {len(data)} bytes")
        else:
            if self.at_s and now_s - self.at_s[-1] < CATCH_UP_S - SLACK_S:
                self.problems.append(f"a burst: two frames in {(now_s - self.at_s[-1]) * 1000:.1f} ms")
            self.frames.append(data)
            self.at_s.append(now_s)

    def gaps(self, until_s: float, excused: list[tuple[float, float]], blocked: list[list[float]]) -> list[str]:
        """Returns where a tick had no frame, from the accept to `until_s`.

        Not where that is near an `excused` span, nor where each tick without a frame fell into a `blocked` one.
        """
        end_s = self.hung_up_s if self.hung_up_s is not None else until_s
        told = []
        for before_s, after_s in zip([self.accepted_s, *self.at_s], [*self.at_s, end_s], strict=True):
            gap_s = after_s - before_s
            if abs(gap_s - TICK_S) < SLACK_S or (gap_s < TICK_S and (before_s == self.accepted_s or after_s == end_s)):
                continue
            if any(start_s <= after_s and before_s <= stop_s for start_s, stop_s in excused):
                continue
            missed_s = [before_s + count * TICK_S for count in range(1, math.ceil((gap_s - SLACK_S) / TICK_S))]
            had_no_room = [
                any(start_s - SLACK_S <= at_s <= stop_s + SLACK_S for start_s, stop_s in blocked) for at_s in missed_s
            ]
            if missed_s and all(had_no_room):
                continue
            told.append(f"{gap_s * 1000:.3f} ms between frames at {before_s - self.accepted_s:.3f} s")
        return told
