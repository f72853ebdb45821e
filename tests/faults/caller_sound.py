"""What the caller of a faulty call says, as sound in which the recogniser of the simulation reads what it is."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from py_nanotts import NanoTTS

from engine.audio import resample
from tests.simulation.plan import Saying
from tests.simulation.recogniser import SAYING_BITS

RATE_HZ: Final = 8_000
SPOKEN_HZ: Final = 16_000
TEXTS: Final = {2.0: "where is my parcel", 15.0: "thank you very much"}
"""What the caller says, by when it begins."""


@cache
def spoken() -> tuple[tuple[Saying, ...], bytes]:
    """Returns what is said, and the sound of the whole line."""
    sayings: list[Saying] = []
    sound = np.zeros(0, np.int16)
    for number, (at_s, text) in enumerate(TEXTS.items(), 1):
        voice = np.frombuffer(NanoTTS().speak(text, voice="en-US", volume=0.5), np.int16)
        voiced = np.flatnonzero(np.abs(voice) > 200)
        pcm = resample(voice[voiced[0] : voiced[-1]], SPOKEN_HZ, RATE_HZ)
        pcm = (pcm & ~SAYING_BITS) | number
        sound = np.concatenate((sound, np.zeros(round(at_s * RATE_HZ) - sound.size, np.int16), pcm))
        sayings.append(Saying(f"said{number}", at_s, pcm.size / RATE_HZ, text))
    return tuple(sayings), sound.astype("<i2").tobytes()
