"""Hears the beep after which a voicemail records. No I/O."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from bridge.hearing.events import Beep
from bridge.hearing.speech_gate import WINDOW_MS

LEAST_WINDOWS: Final = 4
"""How long a beep lasts at least: 128 ms. A vowel that is sung so evenly is rare."""
MOST_WINDOWS: Final = 60
"""How long it lasts at most, 1.9 s: a longer tone is the network's."""
PURE: Final = 0.9
"""The share of a window's power within three neighbouring frequencies that makes a tone."""
LOUD_DBFS: Final = -40.0
HANN: Final = np.hanning(WINDOW_MS * 8).astype(np.float32)
LOWEST_BIN, HIGHEST_BIN = 12, 80
"""Beeps lie between 375 and 2,500 Hz; a frequency is 31 Hz wide here."""


class BeepDetector:
    """One call's. Give it every window of 8 kHz audio."""

    def __init__(self) -> None:
        self._bin = -1
        self._windows = 0
        """How many windows in a row have been one tone."""

    def push(self, window: NDArray[np.float32], level_dbfs: float, at_ms: int) -> Beep | None:
        """Takes the next window, which ends at `at_ms`. Returns the beep that is over, or None."""
        place = _tone(window) if level_dbfs > LOUD_DBFS else -1
        if place >= 0 and (not self._windows or abs(place - self._bin) <= 1):
            self._bin = place
            self._windows += 1
            return None
        lasted, self._bin, self._windows = self._windows, place, int(place >= 0)
        return Beep(at_ms - WINDOW_MS) if LEAST_WINDOWS <= lasted <= MOST_WINDOWS else None


def _tone(window: NDArray[np.float32]) -> int:
    """Returns which frequency a window consists of; -1 if there are several."""
    spectrum = rfft(window * HANN)
    power = spectrum.real**2 + spectrum.imag**2
    place = int(np.argmax(power))
    if not LOWEST_BIN <= place <= HIGHEST_BIN:
        return -1
    return place if power[place - 1 : place + 2].sum() >= PURE * power.sum() else -1
