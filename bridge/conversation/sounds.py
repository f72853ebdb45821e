"""The sounds of a call that waits: tones made here, and WAV files of the administrator's."""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from bridge.line.looped_sound import LoopedSound
from engine.speech import Pcm

SOFT: Final = "soft"
"""The name of the built-in sound of a thinking agent."""
MAX_WAV_S: Final = 300
RATE_HZ: Final = 16_000
"""The rate at which tones are made."""
RINGING_DB: Final = -25.0
"""How loud ringing is while it sounds: as the tone of an exchange."""
JOIN_S: Final = 0.2
"""How much of a file's end is blended into its beginning, so that the seam is not heard."""
_SOFT_S: Final = 4
_SOFT_HZ: Final = (220.0, 277.25, 329.75)
"""A chord of A. Each tone has whole periods in `_SOFT_S`."""

Ringing = Literal["none", "us", "uk", "eu"]
_RINGING: Final[dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "us": ((440.0, 480.0), (2.0, 4.0)),
    "uk": ((400.0, 450.0), (0.4, 0.2, 0.4, 2.0)),
    "eu": ((425.0,), (1.0, 4.0)),
}
"""The tones in Hz, and the seconds for which they sound, are silent, sound and so on (ITU-T E.180)."""


@cache
def ringing(country: str) -> LoopedSound:
    """Returns what a caller hears while it rings: in the United States, in Britain, or in most of Europe."""
    tones, cadence_s = _RINGING[country]
    sounds = np.concatenate([np.full(round(s * RATE_HZ), index % 2 == 0) for index, s in enumerate(cadence_s)])
    tone = _chord(tones, len(sounds)) * 10 ** (RINGING_DB / 20)
    return LoopedSound(_pcm(tone * sounds), RATE_HZ)


@cache
def thinking(name: str, level_db: float) -> LoopedSound:
    """Returns the built-in sound, or that of a WAV file, so loud on average (dB of full scale). Raises ValueError."""
    sound, rate_hz = _sound(name)
    loudness = float(np.sqrt(np.mean(np.square(sound))))
    return LoopedSound(_pcm(sound * (10 ** (level_db / 20) / loudness)), rate_hz)


def make_sounds(thinking_sound: str, level_db: float, country: str) -> None:
    """Makes what calls with these settings need, which takes some milliseconds. Raises OSError."""
    try:
        if thinking_sound:
            thinking(thinking_sound, level_db)
    except ValueError as error:
        raise OSError(f"THINKING_SOUND={thinking_sound}: {error}") from None
    if country in _RINGING:
        ringing(country)


def _sound(name: str) -> tuple[NDArray[np.float64], int]:
    """Returns the built-in sound, or that of a file, in ±1, and its rate. Raises ValueError."""
    if name == SOFT:
        swell = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SOFT_S * RATE_HZ) / (_SOFT_S * RATE_HZ))
        return _chord(_SOFT_HZ, _SOFT_S * RATE_HZ) * swell, RATE_HZ
    sound, rate_hz = _read_wav(Path(name))
    if not sound.any():
        raise ValueError("must be a file with sound in it")
    return sound, rate_hz


def _chord(tones_hz: tuple[float, ...], samples: int) -> NDArray[np.float64]:
    """Returns the tones together, so loud as one wave of full scale."""
    at = 2 * np.pi * np.arange(samples) / RATE_HZ
    chord: NDArray[np.float64] = np.sum([np.sin(hz * at) for hz in tones_hz], axis=0) / np.sqrt(len(tones_hz) / 2)
    return chord


def _read_wav(path: Path) -> tuple[NDArray[np.float64], int]:
    """Returns the file's sound as mono in ±1, ready to go round, and its rate. Raises ValueError."""
    try:
        with wave.open(str(path), "rb") as wav:
            channels, width, rate_hz, frames = wav.getparams()[:4]
            if width != 2 or rate_hz < 8_000 or frames > MAX_WAV_S * rate_hz:
                raise ValueError(f"must be a WAV file of 16 bits, 8 kHz or more and at most {MAX_WAV_S} s")
            pcm = np.frombuffer(wav.readframes(frames), "<i2")
    except (wave.Error, EOFError, RuntimeError) as error:  # the last one, without a word, of a file that is cut off
        raise ValueError(f"must be {SOFT}, or a WAV file: {str(error) or 'this one is cut off'}") from None
    except OSError as error:
        raise ValueError(f"must be {SOFT}, or a WAV file: {error.strerror}") from None
    sound = pcm[: len(pcm) // channels * channels].reshape(-1, channels).mean(axis=1) / 32_768
    join = min(round(JOIN_S * rate_hz), len(sound) // 2)
    rise = np.linspace(0, 1, join, endpoint=False)
    sound[:join] = sound[:join] * rise + sound[len(sound) - join :] * (1 - rise)
    return sound[: len(sound) - join], rate_hz


def _pcm(sound: NDArray[np.float64]) -> Pcm:
    return np.round(np.clip(sound, -1, 1) * 32_767).astype(np.int16)


def _is_sound(name: str) -> str:
    if name:
        _sound(name)
    return name


ThinkingSound = Annotated[str, AfterValidator(_is_sound)]
"""`soft`, or the path of a WAV file; empty for none."""
