"""Computes from arrival times how evenly frames come in: lateness against the 20 ms grid, spacing and bursts.

**Lateness** of frame n is its one-way delay variation after RFC 5481, section 4.2 (PDV): how much longer it took than
the fastest frame of the same call. Frame n begins at audio position p(n), which is n · 20 ms where all frames are
20 ms long, and came in at a(n); its delay, up to a constant that nobody knows, is a(n) - p(n). So

    lateness(n) = (a(n) - p(n)) - min over k of (a(k) - p(k))

This is what a jitter buffer must hold to play frame n. The grid is fitted to the call's earliest frame, so no lateness
is negative and none is averaged away: a sender that once sent early makes all its other frames late. Because p counts
the frames that did come in, a sender that stands still and goes on where it was stays late from there on; one that
drops frames to be on time again is late by as much and, besides, has fewer frames than were expected. Both clocks are
one on the same host; between hosts their drift (about 1 ms a minute) counts as lateness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.line.audiosocket import FRAME_MS

BURST_SPACING_MS: Final = 5.0
"""Frames closer together than this are one burst. Asterisk does not pace: it passes each frame on at once."""

Times = NDArray[np.float64]
"""Seconds, shape (frames,)."""


def lateness_ms(arrivals_s: Times, positions_s: Times) -> NDArray[np.float64]:
    """Returns the lateness of each frame, as the module's text defines it, shape (frames,)."""
    delay_s = arrivals_s - positions_s
    late_s: Times = delay_s - delay_s.min(initial=math.inf)
    return late_s * 1000


def spacing_ms(arrivals_s: Times) -> NDArray[np.float64]:
    """Returns the time from each frame to the next, shape (frames - 1,)."""
    return np.diff(arrivals_s) * 1000


def longest_burst(arrivals_s: Times) -> int:
    """Returns the length of the longest run of frames that each come within `BURST_SPACING_MS` of the one before."""
    if not arrivals_s.size:
        return 0
    apart = np.flatnonzero(spacing_ms(arrivals_s) >= BURST_SPACING_MS)
    ends = np.concatenate((apart, [arrivals_s.size - 1]))
    return int(np.diff(ends, prepend=-1).max())


def expected_frames(arrivals_s: Times, until_s: float) -> int:
    """Returns how many frames a 20 ms clock sends from the first arrival to `until_s`, or to the last if later."""
    if not arrivals_s.size:
        return 0
    end_s = max(float(arrivals_s[-1]), until_s - FRAME_MS / 1000)
    return round((end_s - float(arrivals_s[0])) * 1000 / FRAME_MS) + 1


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of a quantity. Each percentile is a value that occurred (nearest rank)."""

    count: int
    p50: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Spread | None:
        """Returns the spread of `values`, or None where there are none."""
        if not values.size:
            return None
        p50, p99, p999 = np.quantile(values, (0.5, 0.99, 0.999), method="inverted_cdf")
        return cls(values.size, float(p50), float(p99), float(p999), float(values.max()))
