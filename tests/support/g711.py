"""Decodes and encodes G.711, as the other end of a telephone line does."""

from __future__ import annotations

import warnings

import numpy as np

from engine.speech import Pcm

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop


def ulaw_decode(data: bytes) -> Pcm:
    """Returns the PCM of G.711 µ-law."""
    return np.frombuffer(audioop.ulaw2lin(data, 2), np.int16)


def ulaw_encode(pcm: Pcm) -> bytes:
    """Returns the G.711 µ-law of PCM."""
    return audioop.lin2ulaw(pcm.astype("<i2").tobytes(), 2)


def alaw_decode(data: bytes) -> Pcm:
    """Returns the PCM of G.711 A-law."""
    return np.frombuffer(audioop.alaw2lin(data, 2), np.int16)
