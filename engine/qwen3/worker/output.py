"""Cuts a sentence's PCM, as the runner makes it, to what goes out: at the model's rate or in narrowband."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.qwen3.settings import NARROWBAND_HZ, SAMPLE_RATE_HZ
from engine.qwen3.worker.time_stretch import TimeStretch
from engine.silence_trim import SilenceTrim
from engine.speech import Pcm

# The codec's own silence lies below -65 dBFS; the softest consonants that begin a word above -50.
SILENCE_DBFS: Final = -55.0
WINDOW_MS: Final = 10  # it is sound or silence as a whole
BEFORE_MS: Final = 30  # kept before the first sound: a consonant's onset
AFTER_MS: Final = 50  # kept after the last sound
SMALLEST_MS: Final = 20
FADE_MS: Final = 10  # at the end of a sentence that was cut short


class Output:
    """The way out of one sentence: cuts its silence and sets its pace.

    What is due goes out as one piece, a chunk of the codec's at most: each piece costs its listener as much as its
    samples do.
    """

    def __init__(self, speed: float = 1.0, narrowband: bool = False) -> None:
        rate_hz = NARROWBAND_HZ if narrowband else SAMPLE_RATE_HZ
        before, after, window, self._smallest, self._fade = (
            ms * rate_hz // 1000 for ms in (BEFORE_MS, AFTER_MS, WINDOW_MS, SMALLEST_MS, FADE_MS)
        )
        self._trim: SilenceTrim[np.int16] = SilenceTrim(SILENCE_DBFS, before, after, window)
        self._stretch = None if speed == 1.0 else TimeStretch(speed, rate_hz)
        self._held = np.zeros(0, np.int16)

    def push(self, pcm: Pcm, levels: NDArray[np.float32]) -> Pcm:
        """Returns what is due, maybe nothing. levels: the RMS of the next windows, whose samples may come later."""
        self._take(self._paced(self._trim.push(pcm, levels)))
        # A little is kept back, for the end of a sentence that is cut short to be faded out.
        due = self._held.size - self._fade
        return self._give(due if due >= self._smallest else 0)

    def flush(self, cut_short: bool) -> Pcm:
        """Returns the rest. With `cut_short` speech was still going on, so it is faded out."""
        self._take(self._paced(self._trim.flush()))
        if self._stretch is not None:
            self._take(self._stretch.flush())
        if cut_short:
            fade = min(self._fade, self._held.size)
            ramp = np.linspace(1, 0, fade)
            kept = self._held.size - fade
            self._held = np.concatenate((self._held[:kept], (self._held[kept:] * ramp).astype(np.int16)))
        if self._held.size:
            self._take(np.zeros(max(0, self._smallest - self._held.size), np.int16))
        return self._give(self._held.size)

    def _give(self, samples: int) -> Pcm:
        given, self._held = self._held[:samples], self._held[samples:]
        return given

    def _paced(self, pcm: Pcm) -> Pcm:
        return pcm if self._stretch is None else self._stretch.push(pcm)

    def _take(self, pcm: Pcm) -> None:
        self._held = np.concatenate((self._held, pcm))
