"""The apology that a caller hears when something has gone wrong: made before it is needed, ready at every rate."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.audio import resample
from engine.pipeline import speak
from engine.speech import Engine, Pcm, Style

COMMON_HZ: Final = (8_000, 16_000)
"""The usual rates of telephone calls. The apology is resampled to them when it is made, and to any other rate when the
first call at that rate needs it, which takes about a millisecond."""


class Apology:
    """The audio of one apology, shared by all calls. It is false and empty until it has been made."""

    def __init__(self, pcm: Pcm | None = None, rate_hz: int = 0) -> None:
        self._at: dict[int, bytes] = {}
        self._pcm = pcm
        self._rate_hz = rate_hz

    def __bool__(self) -> bool:
        return self._pcm is not None

    async def make(self, engine: Engine, text: str, style: Style, *, normalize: bool) -> None:
        """Has `engine` speak `text` and keeps the audio. Raises SpeechError."""
        chunks = [chunk.pcm async for chunk in speak(engine, text, style, normalize=normalize)]
        if chunks:
            self._pcm, self._rate_hz = np.concatenate(chunks), engine.sample_rate_hz
            for common_hz in COMMON_HZ:
                self.at(common_hz)

    def at(self, rate_hz: int) -> bytes:
        """Returns the apology as 16-bit little-endian mono, or nothing if none was made. Each rate is made once."""
        if self._pcm is None:
            return b""
        if rate_hz not in self._at:
            self._at[rate_hz] = resample(self._pcm, self._rate_hz, rate_hz).tobytes()
        return self._at[rate_hz]
