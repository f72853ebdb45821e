"""What a caller hears when something has gone wrong: made before it is needed, ready at the caller's rate."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.audio import resample
from engine.pipeline import speak
from engine.speech import Engine, Pcm, Style

COMMON_HZ: Final = (8_000, 16_000)
"""Rates of telephone calls: resampled at once. Any other is with its first call, which takes about a millisecond."""


class Apology:
    """One for all calls. Until it is made there is nothing of it."""

    def __init__(self, pcm: Pcm | None = None, rate_hz: int = 0) -> None:
        self._at: dict[int, bytes] = {}
        self._pcm = pcm
        self._rate_hz = rate_hz

    def __bool__(self) -> bool:
        return self._pcm is not None

    async def make(self, engine: Engine, text: str, style: Style, *, normalize: bool) -> None:
        """Have an engine say it. Raises SpeechError."""
        chunks = [chunk.pcm async for chunk in speak(engine, text, style, normalize=normalize)]
        if chunks:
            self._pcm, self._rate_hz = np.concatenate(chunks), engine.sample_rate_hz
            for common_hz in COMMON_HZ:
                self.at(common_hz)

    def at(self, rate_hz: int) -> bytes:
        """All of it, as 16-bit little-endian samples; resampled once for each rate."""
        if self._pcm is None:
            return b""
        if rate_hz not in self._at:
            self._at[rate_hz] = resample(self._pcm, self._rate_hz, rate_hz).tobytes()
        return self._at[rate_hz]
