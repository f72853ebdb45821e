"""Sound of a voice at its final rate, in pieces that are sent at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from engine.audio import Resampler
from engine.speech import Pcm

SAMPLE_RATE_HZ: Final = 24_000
CHUNK_SAMPLES: Final = 2400
MIN_CHUNK_SAMPLES: Final = 480


def chunked(sound: Iterator[Pcm], resampler: Resampler) -> Iterator[Pcm]:
    """Yields the sound at its final rate in pieces of CHUNK_SAMPLES; the last is neither tiny nor much longer."""
    held = np.zeros(0, np.int16)
    for block in sound:
        held = np.concatenate((held, resampler.push(block)))
        while held.size >= CHUNK_SAMPLES + MIN_CHUNK_SAMPLES:
            yield held[:CHUNK_SAMPLES]
            held = held[CHUNK_SAMPLES:]
    held = np.concatenate((held, resampler.flush()))
    if held.size:
        yield np.pad(held, (0, max(0, MIN_CHUNK_SAMPLES - held.size)))
