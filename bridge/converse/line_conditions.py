"""What a telephone line makes of a caller: noise behind the words, the agent's echo, coughs. Numpy alone, no I/O."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.speech import Pcm

Samples = NDArray[np.float64]
"""Sound between -1 and 1, shape (samples,)."""

SPEECH_DBFS: Final = -24.0
"""How loud callers speak: the mean power of a clip from which the pauses are left out."""
NOISE_S: Final = 20
"""Noise is repeated after so long."""
_ACTIVE_DB: Final = 30.0
"""What is further than this below the loudest 20 ms of a clip is pause."""


def level_dbfs(sound: Samples, rate_hz: int) -> float:
    """Returns the mean power of `sound` in dB below a full-scale square wave, the pauses left out."""
    frame = rate_hz // 50
    if sound.size < frame:
        return -math.inf
    powers = np.square(sound[: sound.size // frame * frame].reshape(-1, frame)).mean(axis=1)
    active = powers[powers >= powers.max() * 10 ** (-_ACTIVE_DB / 10)]
    mean = float(active.mean())
    return 10 * math.log10(mean) if mean > 0 else -math.inf


def at_level(sound: Samples, rate_hz: int, dbfs: float) -> Samples:
    """Returns `sound` made as loud as `dbfs`; silence stays silence."""
    level = level_dbfs(sound, rate_hz)
    return sound if math.isinf(level) else sound * 10 ** ((dbfs - level) / 20)


def samples(pcm: Pcm) -> Samples:
    """Returns 16-bit sound as numbers between -1 and 1."""
    return pcm.astype(np.float64) / 32768


def pcm_of(sound: Samples) -> Pcm:
    """Returns sound as 16-bit samples; what is too loud for them is clipped."""
    return np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)


def white(count: int, random: np.random.Generator) -> Samples:
    """Returns `count` samples of white noise."""
    return random.standard_normal(count) * 0.1


def music(count: int, rate_hz: int, random: np.random.Generator) -> Samples:
    """Returns `count` samples of plucked chords, which change twice a second, as hold music does."""
    beat = rate_hz // 2
    at_s = np.arange(beat) / rate_hz
    decay = np.exp(-3 * at_s)
    bars = []
    for _ in range(math.ceil(count / beat)):
        root_hz = 110 * 2 ** (random.choice((0, 2, 4, 5, 7, 9)) / 12)
        tones = [root_hz * ratio for ratio in (1, 1.26, 1.498, 2)]
        bars.append(sum(np.sin(2 * np.pi * hz * k * at_s) / k for hz in tones for k in (1, 2, 3)) * decay)
    return np.concatenate(bars)[:count] * 0.1


def tone(count: int, rate_hz: int, *frequencies_hz: float) -> Samples:
    """Returns `count` samples of a tone, as a network or a voicemail sends it."""
    at_s = np.arange(count) / rate_hz
    sound: Samples = np.sum([np.sin(2 * np.pi * hz * at_s) for hz in frequencies_hz], axis=0)
    return sound * (0.2 / len(frequencies_hz))


def babble(clips: list[Samples], count: int, random: np.random.Generator) -> Samples:
    """Returns `count` samples of many people who talk at once: each says the clips in an order of hers."""
    mixed = np.zeros(count)
    for _ in range(2 * len(clips)):
        voice = np.concatenate([clips[index] for index in random.permutation(len(clips))])
        voice = np.tile(voice, math.ceil(count / voice.size) + 1)
        start = int(random.integers(voice.size - count))
        mixed += voice[start : start + count]
    return mixed / (2 * len(clips))


def cough(rate_hz: int, random: np.random.Generator) -> Samples:
    """Returns two coughs: each a burst of breath, then noise and a hoarse voice that die away."""
    one = []
    for _ in range(2):
        length = int(rate_hz * random.uniform(0.22, 0.32))
        at_s = np.arange(length) / rate_hz
        breath = np.convolve(random.standard_normal(length), np.hanning(random.integers(3, 7)), "same")
        burst = np.exp(-at_s / 0.02) * 2 + np.exp(-at_s / 0.09)
        pitch_hz = random.uniform(180, 320) * np.exp(-at_s)
        hoarse = np.sign(np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz)) * np.exp(-(((at_s - 0.14) / 0.06) ** 2))
        one += [breath * burst + hoarse * random.uniform(0.1, 0.6), np.zeros(int(rate_hz * random.uniform(0.08, 0.15)))]
    sound: Samples = np.concatenate(one)
    return sound * (0.5 / float(np.abs(sound).max()))


class LineConditions:
    """The caller's side of one line. Give `heard` what came in, and `send` what the caller says, frame by frame."""

    def __init__(
        self, rate_hz: int, *, noise: Samples | None = None, echo_db: float | None = None, echo_delay_ms: int = 0
    ) -> None:
        self._noise = noise if noise is not None and noise.size else None
        self._noise_at = 0
        self._echo_factor = None if echo_db is None else 10 ** (echo_db / 20)
        self._echo = np.zeros(rate_hz * echo_delay_ms // 1000)

    def heard(self, pcm: bytes) -> None:
        """Takes a frame of the agent's sound, of which the echo will come back."""
        if self._echo_factor is not None:
            self._echo = np.concatenate((self._echo, samples(np.frombuffer(pcm, "<i2")) * self._echo_factor))

    def send(self, frame: bytes) -> bytes:
        """Returns the frame as it leaves on the line."""
        if self._noise is None and self._echo_factor is None:
            return frame
        sound = samples(np.frombuffer(frame, "<i2"))
        if self._noise is not None:
            places = (self._noise_at + np.arange(sound.size)) % self._noise.size
            self._noise_at += sound.size
            sound += self._noise[places]
        echo, self._echo = self._echo[: sound.size], self._echo[sound.size :]
        sound[: echo.size] += echo
        return pcm_of(sound).astype("<i2").tobytes()
