"""What tells one voice on a line from another, in 64 ms of it: its pitch, and how dry it is. No I/O.

A mouth at the telephone gives a sharp pulse with each closing of the vocal folds. In a room the reflections blur it:
the sound is less peaked once the resonances of the mouth are taken out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 8_000
SHORTEST, LONGEST = 20, 140
"""The periods that a voice may have, in samples: 400 to 57 Hz."""
CLEAR: Final = 0.6
"""From which correlation of a sound with itself, a period later, it has a pitch."""
NEARLY: Final = 0.9
"""A shorter period whose correlation is this share of the best is the voice's, and the best one a multiple of it."""
RESONANCES: Final = 10
"""The order of the linear prediction that takes the resonances out."""
_FFT: Final = 1_024
_LAGS: Final = np.arange(SHORTEST, LONGEST)
_TOEPLITZ: Final = np.abs(np.subtract.outer(np.arange(RESONANCES), np.arange(RESONANCES)))


@dataclass(frozen=True, slots=True)
class Traits:
    """What a piece of a voice is like."""

    pitch: float | None = None
    """In semitones; None where there is none, as in an "s"."""
    peaks: float = 0.0
    """How peaked the sound is without its resonances: the kurtosis, 3 for noise and 5 to 8 for a voice near by."""


class VoiceTraits:
    """Looks at one window of 32 ms together with the one before it."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None

    def push(self, window: NDArray[np.float32], *, wanted: bool) -> Traits | None:
        """Takes the next window. Returns what the voice in it is like if that is `wanted` and there was one before."""
        before, self._before = self._before, window
        return traits(np.concatenate((before, window))) if wanted and before is not None else None


def traits(sound: NDArray[np.float32]) -> Traits:
    """Returns what the voice in this sound is like."""
    centred = sound.astype(np.float64) - sound.mean()
    correlations = np.fft.irfft(np.abs(np.fft.rfft(centred, _FFT)) ** 2)[:LONGEST]
    if correlations[0] < 1e-9:
        return Traits()
    return Traits(_pitch(centred, correlations), _peaks(centred, correlations))


def _pitch(sound: NDArray[np.float64], correlations: NDArray[np.float64]) -> float | None:
    energy = np.concatenate(([0.0], np.cumsum(sound * sound)))
    alike = correlations[SHORTEST:] / (np.sqrt(energy[len(sound) - _LAGS] * (energy[-1] - energy[_LAGS])) + 1e-9)
    best = float(alike.max())
    if best < CLEAR:
        return None
    beside = np.concatenate(([-1.0], alike, [-1.0]))
    is_peak = (alike > NEARLY * best) & (alike >= beside[:-2]) & (alike >= beside[2:])
    return float(12 * np.log2(RATE_HZ / _LAGS[np.argmax(is_peak)]))


def _peaks(sound: NDArray[np.float64], correlations: NDArray[np.float64]) -> float:
    matrix = correlations[_TOEPLITZ]
    matrix[np.diag_indices(RESONANCES)] *= 1.001  # a pure tone would leave nothing to solve
    prediction = np.linalg.solve(matrix, correlations[1 : RESONANCES + 1])
    rest = np.convolve(sound, np.concatenate(([1.0], -prediction)))[RESONANCES : len(sound)]
    power = float(np.mean(rest**2))
    return float(np.mean(rest**4)) / (power * power + 1e-20)
