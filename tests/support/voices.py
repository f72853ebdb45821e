"""The callers' voice in the tests: SVOX Pico, which is not the one that answers them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from py_nanotts import NanoTTS

from engine.audio import resample
from engine.speech import Pcm


@lru_cache(maxsize=64)
def caller_says(text: str, rate_hz: int = 8_000) -> Pcm:
    """`text` as a caller might say it, without silence at the ends, at a telephone's level."""
    pcm = np.frombuffer(NanoTTS().speak(text, voice="en-US", volume=0.4), np.int16)
    loud = np.flatnonzero(np.abs(pcm) > 200)
    return resample(pcm[loud[0] : loud[-1]], 16_000, rate_hz)


def silence(ms: int, rate_hz: int = 8_000) -> Pcm:
    return np.zeros(ms * rate_hz // 1000, np.int16)
