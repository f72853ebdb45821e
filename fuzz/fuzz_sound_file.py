"""WAV files of an administrator, for a call that waits: taken as a sound that goes round, or refused with a reason."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from fuzz.harness import fuzz, instrumented

with instrumented(__name__, "bridge.conversation.sounds", "wave"):
    from bridge.conversation.sounds import thinking

LEVEL_DB: Final = -30.0
RATES_HZ: Final = (8_000, 44_100)


def _wav(rate_hz: int, channels: int, width: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes((np.arange(800) % 100 * 50).astype("<i2").tobytes())
    return file.getvalue()


SEEDS: Final = (_wav(8_000, 1, 2), _wav(8_002, 1, 2), _wav(16_000, 2, 2), _wav(4_000, 1, 2), _wav(8_000, 1, 1))
_FOLDER: Final = TemporaryDirectory()
_FILE: Final = Path(_FOLDER.name) / "sound.wav"


def check(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        sound = thinking.__wrapped__(str(_FILE), LEVEL_DB)
    except ValueError as error:
        assert str(error), "the reason"
        return
    for rate_hz in RATES_HZ:
        for index in (0, sound.frames - 1, sound.frames):
            assert len(sound.frame(index, rate_hz)) == rate_hz // 50 * 2


if __name__ == "__main__":
    fuzz(check, SEEDS)
