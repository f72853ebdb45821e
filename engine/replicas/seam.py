"""Finds in a second reading of a sentence the place where the first one was cut off; no I/O.

Two readings of one text in one voice differ in pace and melody, but say the same sounds in the same order. So each
20 ms of the one are matched with 20 ms of the other, in order, by the shape of their spectra ("dynamic time warping").
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.speech import Pcm

STEP_S: Final = 0.02
WINDOW_S: Final = 0.025
BANDS: Final = 20
LOWEST_HZ: Final = 100.0
HIGHEST_HZ: Final = 8_000.0
FLOOR: Final = 100.0
"""Power below which a band is silent; a 16-bit sound's noise lies lower."""
BEGINS_WITHIN_STEPS: Final = 5
"""Silence before the first sound is trimmed, but not to the sample."""
SKEW: Final = 0.2
"""What it costs, as a share of the usual distance, where one reading stands still or goes twice as fast."""
PACE: Final = 1.3
"""The second reading takes at most so many times as long as the first one."""
SPARE_S: Final = 0.3


def enough(heard_samples: int, made_samples: int, rate_hz: int) -> bool:
    """Tells whether so much of a second reading surely goes beyond the place where the first one was cut off."""
    return made_samples >= heard_samples * PACE + SPARE_S * rate_hz


def seam(heard: Pcm, anew: Pcm, rate_hz: int) -> int:
    """Returns the samples of `anew` that say what `heard` says."""
    first, second = _shapes(heard, rate_hz), _shapes(anew, rate_hz)
    if not len(first) or not len(second):
        return min(heard.size, anew.size)
    distances = np.sqrt(np.maximum(0.0, _squares(first)[:, None] + _squares(second)[None] - 2 * first @ second.T))
    skew = SKEW * float(distances.mean())
    # The least cost to have come to each step of the second reading; before its first step there is nothing.
    costs = np.full(2 + len(second), np.inf)
    costs[2 : 2 + BEGINS_WITHIN_STEPS] = distances[0, :BEGINS_WITHIN_STEPS]
    for row in distances[1:]:
        costs[2:] = row + np.minimum(costs[1:-1], np.minimum(costs[2:], costs[:-2]) + skew)
    step = round(STEP_S * rate_hz)
    left = heard.size - (len(first) - 1) * step
    return min(anew.size, int(costs[2:].argmin()) * step + left)


def _shapes(pcm: Pcm, rate_hz: int) -> NDArray[np.float64]:
    """Returns the levels of the bands, a row for each step."""
    step, window = round(STEP_S * rate_hz), round(WINDOW_S * rate_hz)
    if pcm.size < window:
        return np.zeros((0, BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float32), window)[::step] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, rate_hz / 2), BANDS + 1) * window / rate_hz
    starts = np.unique(np.maximum(1, np.round(edges[:-1]))).astype(int)
    levels: NDArray[np.float64] = np.log(np.add.reduceat(power, starts, axis=1) + FLOOR * window)
    return levels


def _squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = (rows * rows).sum(axis=1)
    return squares
