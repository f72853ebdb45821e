"""Recordings that clients bring: decoded within bounds, or refused with a reason."""

from __future__ import annotations

import io
import wave
from typing import Final

import av
import numpy as np

from fuzz.harness import fuzz, instrumented

with instrumented(__name__, "engine.recording"):
    from engine.recording import MAX_RATE_HZ, MIN_RATE_HZ, InvalidRecording, read_recording

MIN_S: Final = 0.05
MAX_S: Final = 2.0
RATE_HZ: Final = 8_000
_TONE: Final = (8_000 * np.sin(np.arange(RATE_HZ // 10) / 3)).astype("<i2")


def _wav(channels: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(_TONE.tobytes())
    return file.getvalue()


def _encoded(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(_TONE[None, :].astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    return file.getvalue()


SEEDS: Final = (
    *(_wav(1), _wav(2)),
    *(_encoded("flac", "flac"), _encoded("au", "pcm_mulaw"), _encoded("aiff", "pcm_s16be")),
    *(_encoded("wav", "adpcm_ms"), _encoded("w64", "pcm_s16le")),
)


def check(data: bytes) -> None:
    try:
        reference = read_recording(data, min_s=MIN_S, max_s=MAX_S, text="hello")
    except InvalidRecording as error:
        assert str(error)
        return
    assert MIN_RATE_HZ <= reference.sample_rate_hz <= MAX_RATE_HZ
    assert reference.pcm.dtype == np.int16
    assert reference.pcm.ndim == 1
    assert MIN_S <= reference.pcm.size / reference.sample_rate_hz <= MAX_S


if __name__ == "__main__":
    fuzz(check, SEEDS)
