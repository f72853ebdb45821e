"""German, Spanish, French and Italian beside hibari's English: SVOX Pico, where the package py-nanotts is installed.

Pico is a small synthesiser of 2009, and plainly a machine (`python -m benchmarks.languages`). It is
loaded with the first sentence that needs it, so the start takes no longer for it.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.audio import Resampler
from engine.hibari.chunks import SAMPLE_RATE_HZ, chunked
from engine.hibari.messages import Speak
from engine.hibari.voices import VARIANTS
from engine.silence_trim import SilenceTrim
from engine.speech import Pcm

if TYPE_CHECKING:
    from py_nanotts import NanoTTS

VOICES: Final = {"de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
"""Pico's name of the voice for each language."""
# Pico speaks at 16 kHz.
HZ_OF_PERCENT: Final = 160
# At its own volume Pico speaks at -12 dBFS and clips; a telephone expects about -20.
VOLUME: Final = 0.4
SILENCE_DBFS: Final = -55.0
AFTER_SAMPLES: Final = 480
# An option of mallopt, from malloc.h.
M_PERTURB: Final = -6
# What Pico takes for its own marks, or for the end of the text.
_MARKS: Final = re.compile(r"[<>\x00-\x1f]")


def languages() -> tuple[str, ...]:
    """Returns the languages, as ISO 639-1 codes, for which there is a voice on this machine."""
    return tuple(VOICES) if find_spec("py_nanotts") is not None else ()


@contextmanager
def zeroed_memory() -> Iterator[None]:
    """Has the C library give out memory full of zeros, where it can.

    Pico reads memory that it never wrote. With what others left there, the same sentence came out up to a tenth longer.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc alone
    if set_option is None:
        yield
        return
    set_option(M_PERTURB, 0xFF)  # what is given out holds the complement of this byte
    try:
        yield
    finally:
        set_option(M_PERTURB, 0)


class Pico:
    """Pico's voices. It is not for several threads at once."""

    def __init__(self) -> None:
        self._nanotts: NanoTTS | None = None

    def speak(self, job: Speak) -> Iterator[Pcm]:
        """Yields chunks of 20 to 200 ms; none for a text without sounds.

        Each of hibari's voices differs from Pico's own in pitch, size and pace as it differs from heart.
        """
        if self._nanotts is None:
            from py_nanotts import NanoTTS

            self._nanotts = NanoTTS()
        variant = VARIANTS[job.voice]
        size = variant.formant_percent / 100  # of all there is, once it is played: speed and pitch make up for it
        with zeroed_memory():
            made = self._nanotts.speak(
                _MARKS.sub(" ", job.text),
                voice=VOICES[job.language],
                speed=job.speed * variant.pace / size,
                pitch=variant.pitch / size,
                volume=VOLUME,
            )
        sound = np.frombuffer(made, np.int16).astype(np.float32) / np.float32(32768)
        trim = SilenceTrim(SILENCE_DBFS, 0, AFTER_SAMPLES)
        pcm = (np.rint(block * 32767).astype(np.int16) for block in trim.trimmed([sound]))
        yield from chunked(pcm, Resampler(HZ_OF_PERCENT * variant.formant_percent, SAMPLE_RATE_HZ))
