"""Decoders that share no code with the encoders: libsndfile (mpg123, libFLAC, libogg), FAAD for AAC."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import correlate

from engine.audio import resample
from engine.encode import FormatName
from engine.speech import Pcm
from tests.support.debian_package import unpacked

PACKAGES = ("faad", "libfaad2")


def decode(name: FormatName, data: bytes, rate_hz: int) -> tuple[Pcm, int]:
    """Samples and their rate; `rate_hz` is for those formats that do not say."""
    match name:
        case "pcm":
            return np.frombuffer(data, "<i2"), rate_hz
        case "mulaw" | "alaw":
            raw = {"format": "RAW", "subtype": name.upper().replace("MULAW", "ULAW"), "channels": 1}
            return soundfile.read(io.BytesIO(data), dtype="int16", samplerate=rate_hz, **raw)
        case "aac":
            return _faad(data)
    with _Stream(io.BytesIO(data)) as file:
        blocks = []
        while (block := file.read(4_096, dtype="int16")).size:
            blocks.append(block)
        return np.concatenate(blocks or [np.empty(0, np.int16)]), file.samplerate


class _Stream(soundfile.SoundFile):
    """Read from start to end, as a player does: a stream does not say how long it is, so there is no seeking in it."""

    def seekable(self) -> bool:
        return False


def likeness(heard: Pcm, meant: Pcm) -> float:
    """Correlation of what is heard with what was meant, at the shift that fits best: 1.0 for the same."""
    a, b = heard.astype(np.float64), meant.astype(np.float64)
    if np.array_equal(a, b):
        return 1.0
    products = correlate(a, b, mode="full", method="fft")
    return float(products.max() / np.sqrt((a**2).sum() * (b**2).sum()))


def _faad(data: bytes) -> tuple[Pcm, int]:
    command, environment = faad()
    with tempfile.TemporaryDirectory() as folder:
        encoded, decoded = Path(folder, "in.aac"), Path(folder, "out.wav")
        encoded.write_bytes(data)
        subprocess.run([*command, "-q", "-o", decoded, encoded], env=environment, check=True, capture_output=True)
        heard, heard_hz = soundfile.read(decoded, dtype="int16")
    if heard.ndim == 2:  # FAAD makes two channels and twice the rate of what might be HE-AAC, which ours is not
        heard = np.ascontiguousarray(heard[:, 0])
    rate_hz = _adts_rate_hz(data)
    return resample(heard, heard_hz, rate_hz), rate_hz


def _adts_rate_hz(data: bytes) -> int:
    rates = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
    return rates[data[2] >> 2 & 0x0F]


@lru_cache
def faad() -> tuple[list[str], dict[str, str]]:
    """FAAD's command and its environment: installed, or Debian's packages unpacked into the cache folder."""
    if installed := shutil.which("faad"):
        return [installed], dict(os.environ)
    folder = unpacked("faad", PACKAGES)
    library = next((folder / "usr/lib").rglob("libfaad.so*")).parent
    return [str(folder / "usr/bin/faad")], {**os.environ, "LD_LIBRARY_PATH": str(library)}
