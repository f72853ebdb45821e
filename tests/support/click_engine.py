"""An engine whose words begin with a click each, so that a test can find them in whatever audio comes out."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate

from engine.audio import resample
from engine.speech import Pcm
from tests.support.tone_engine import CHUNK_SAMPLES, RATE_HZ, ToneEngine

WORD_SAMPLES = 4_801
"""200 ms, and one sample that no rate divides by."""
_PASSED = np.arange(360) / 360
CLICK: Pcm = np.rint(12_000 * np.hanning(360) * np.sin(2 * np.pi * (6 * _PASSED + 20 * _PASSED**2))).astype(np.int16)
"""15 ms that rise from 400 Hz to 3 kHz: like itself in one place only, at every rate."""


class ClickEngine(ToneEngine):
    """Tells when its words begin, unless `tells` is False."""

    def __init__(self, *, tells: bool = True) -> None:
        super().__init__()
        self.tells = tells

    async def stream(self, sentence, style):
        self.spoken.append((sentence, style))
        count = len(sentence.split())
        starts = [round(number * WORD_SAMPLES / style.speed) for number in range(count + 1)]
        sound = np.zeros(starts[-1], np.int16)
        for start in starts[:-1]:
            sound[start : start + CLICK.size] = CLICK
        if style.on_word_starts and self.tells:
            style.on_word_starts(starts[:-1])
        for start in range(0, sound.size, CHUNK_SAMPLES):
            yield sound[start : start + CHUNK_SAMPLES]


def clicks_s(pcm: Pcm, rate_hz: int) -> list[float]:
    """Where the clicks begin in a clip of any rate."""
    click = resample(CLICK, RATE_HZ, rate_hz).astype(float)
    match = correlate(np.asarray(pcm, float), click, "valid") / np.sum(click**2)
    near = rate_hz // 50  # another click is never as near as 20 ms
    most = np.lib.stride_tricks.sliding_window_view(np.pad(match, near), 2 * near + 1).max(axis=1)
    peaks = np.flatnonzero((match > 0.5) & (match == most))
    return [float(at) / rate_hz for at in peaks]
