"""Turns a sentence's samples, as the codec makes them, into the PCM that goes out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.qwen3.settings import SAMPLE_RATE_HZ
from engine.qwen3.worker.time_stretch import TimeStretch
from engine.silence_trim import SilenceTrim
from engine.speech import Pcm

# The codec's own silence lies below -65 dBFS; the softest consonants that begin a word above -50.
SILENCE_DBFS: Final = -55.0
BEFORE_SAMPLES: Final = 720  # kept before the first sound: a consonant's onset
AFTER_SAMPLES: Final = 1200  # kept after the last sound
SMALLEST_SAMPLES: Final = 480
FADE_SAMPLES: Final = 240  # at the end of a sentence that was cut short


class Output:
    """The way out of one sentence: cuts its silence and sets its pace.

    What is due goes out as one piece, a chunk of the codec's at most: each piece costs its listener as much as its
    samples do.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._trim = SilenceTrim(SILENCE_DBFS, BEFORE_SAMPLES, AFTER_SAMPLES)
        self._stretch = None if speed == 1.0 else TimeStretch(speed, SAMPLE_RATE_HZ)
        self._held = np.zeros(0, np.int16)

    def push(self, sound: NDArray[np.float32]) -> Pcm:
        """Returns what is due, maybe nothing. sound [samples], within -1 and 1."""
        self._take(self._paced(self._trim.push(sound)))
        # A little is kept back, for the end of a sentence that is cut short to be faded out.
        due = self._held.size - FADE_SAMPLES
        return self._give(due if due >= SMALLEST_SAMPLES else 0)

    def flush(self, cut_short: bool) -> Pcm:
        """Returns the rest. With `cut_short` speech was still going on, so it is faded out."""
        self._take(self._paced(self._trim.flush()))
        if self._stretch is not None:
            self._take(self._stretch.flush())
        if cut_short:
            fade = min(FADE_SAMPLES, self._held.size)
            ramp = np.linspace(1, 0, fade)
            kept = self._held.size - fade
            self._held = np.concatenate((self._held[:kept], (self._held[kept:] * ramp).astype(np.int16)))
        if self._held.size:
            self._take(np.zeros(max(0, SMALLEST_SAMPLES - self._held.size), np.int16))
        return self._give(self._held.size)

    def _give(self, samples: int) -> Pcm:
        given, self._held = self._held[:samples], self._held[samples:]
        return given

    def _paced(self, sound: NDArray[np.float32]) -> Pcm:
        pcm: Pcm = np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        return pcm if self._stretch is None else self._stretch.push(pcm)

    def _take(self, pcm: Pcm) -> None:
        self._held = np.concatenate((self._held, pcm))
