"""Cuts the silence before a sentence and after it, in a stream."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# The codec's own silence lies below -65 dBFS; the softest consonants that begin a word above -50.
SILENCE: Final = 10 ** (-55 / 20)
WINDOW_SAMPLES: Final = 240  # 10 ms, looked at together
BEFORE_SAMPLES: Final = 720  # kept before the first sound: a consonant's onset
AFTER_SAMPLES: Final = 1200  # kept after the last sound, faded out


class SilenceTrim:
    """float32 samples in, those between the first and the last sound out, pauses included."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)
        self._begun = False

    def push(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """What can be said to belong to the sentence now; silence is held back until something follows it."""
        self._held = np.concatenate((self._held, sound))
        whole = self._held.size // WINDOW_SAMPLES * WINDOW_SAMPLES
        levels = np.sqrt(np.mean(self._held[:whole].reshape(-1, WINDOW_SAMPLES) ** 2, axis=1))
        loud = np.flatnonzero(levels > SILENCE)
        if not loud.size:
            if not self._begun:
                self._held = self._held[-(BEFORE_SAMPLES + WINDOW_SAMPLES) :]
            return self._held[:0]
        start = 0 if self._begun else max(0, int(loud[0]) * WINDOW_SAMPLES - BEFORE_SAMPLES)
        end = (int(loud[-1]) + 1) * WINDOW_SAMPLES
        out, self._held, self._begun = self._held[start:end], self._held[end:], True
        return out

    def flush(self) -> NDArray[np.float32]:
        """The end of the sentence, faded out so that it stops without a click."""
        if not self._begun:
            return self._held[:0]
        tail = self._held[:AFTER_SAMPLES]
        return tail * np.linspace(1, 0, tail.size, dtype=np.float32)
