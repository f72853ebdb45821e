"""Tells how long ago a caller fell silent, where the detector still takes the silence for speech. No I/O.

Silero's model remembers: after a sentence it calls the noise of a line speech for some 70 ms, and that of a room for
some 160. The level knows better, unless others speak in the room. Then it is never quiet, and the detector alone tells.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.speech_gate import WINDOW_MS

PIECES: Final = 8
"""Into how many pieces a window is cut, of 4 ms each."""
QUIET: Final = 3e-4
"""A piece is quiet whose power is this share of the loudest window's of late: 35 dB less."""
FALL: Final = 0.98
"""How much of the loudest power still counts a window later: it falls by 3 dB a second."""
NOISE: Final = 8.0
"""A piece is quiet, too, whose power is no more than so many times the least of late: noise varies as much."""
RISE: Final = 1.01
"""How fast the least power rises from window to window, 1.4 dB a second, where the noise has become more."""


INAUDIBLE: Final = 1e-9
"""The least power that counts, -90 dBFS: from nothing it would never rise again."""


class SpeechTail:
    """Takes one window of the caller's sound after the other."""

    def __init__(self) -> None:
        self._loudest = 0.0
        self._least = 1.0
        self._quiet_ms = 0

    def push(self, window: NDArray[np.float32]) -> int:
        """Takes the next window, 32 ms of samples in ±1. Returns for how many ms it has been quiet at its end."""
        powers = np.square(window).reshape(PIECES, -1).mean(axis=1)
        self._loudest = max(FALL * self._loudest, float(powers.mean()))
        self._least = max(min(RISE * self._least, float(powers.min())), INAUDIBLE)
        loud = np.flatnonzero(powers > max(QUIET * self._loudest, NOISE * self._least))
        if len(loud):
            self._quiet_ms = (PIECES - 1 - int(loud[-1])) * WINDOW_MS // PIECES
        else:
            self._quiet_ms += WINDOW_MS
        return self._quiet_ms
