"""The way from a telephone's loudspeaker to its microphone: late, reverberant, distorted a little, in G.711."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, oaconvolve

from engine.audio import ulaw_encode
from engine.speech import Pcm
from tests.support.g711 import ulaw_decode

RATE_HZ = 8_000
ROOM_MS = 80
REVERBERATION_S = 0.25
LOUDSPEAKER_HZ = (350, 3_300)
OVERLOAD = 20_000.0
"""Where the loudspeaker begins to distort."""
NOISE_DBFS = -60.0

Floats = NDArray[np.float64]


class EchoPath:
    """One telephone. At 8 kHz; `level_db` is that of the echo against what was sent, if that is speech."""

    def __init__(self, level_db: float, delay_ms: float, seed: int = 1, noise_dbfs: float = NOISE_DBFS) -> None:
        self._random = np.random.default_rng(seed)
        self._noise = 32768 * 10 ** (noise_dbfs / 20)
        self.delay_ms = delay_ms
        self.response = _response(self._random) * 10 ** (level_db / 20)
        self._sent: Floats = np.zeros(len(self.response) - 1)
        self._waiting: Floats = np.zeros(round(delay_ms * RATE_HZ / 1000))

    def push(self, sent: Pcm, caller: Pcm | None = None) -> Pcm:
        """Plays what has come, and returns as many samples of what the microphone takes up: echo, caller and noise."""
        samples = np.concatenate((self._sent, _played(sent)))
        self._sent = samples[len(sent) :]
        self._waiting = np.concatenate((self._waiting, np.convolve(samples, self.response, "valid")))
        echo, self._waiting = self._waiting[: len(sent)], self._waiting[len(sent) :]
        return self._taken_up(echo if caller is None else echo + caller)

    def through(self, sent: Pcm, caller: Pcm, *, drift_ppm: float = 0.0, jump: tuple[int, float] | None = None) -> Pcm:
        """Does the same to a whole call. `jump` is the sample from which on the delay is so many ms longer."""
        at = np.arange(len(sent), dtype=np.float64)
        delay = self.delay_ms * RATE_HZ / 1000 + drift_ppm * 1e-6 * at
        if jump is not None:
            delay = delay + (at >= jump[0]) * (jump[1] * RATE_HZ / 1000)
        echo = oaconvolve(_played(sent), self.response)[: len(sent)]
        return self._taken_up(np.interp(at - delay, at, echo, left=0.0) + caller)

    def _taken_up(self, samples: Floats) -> Pcm:
        return _coded(samples + self._random.standard_normal(len(samples)) * self._noise).astype(np.int16)


def _response(random: np.random.Generator) -> Floats:
    """A loudspeaker in a room, as loud as what was sent when that is speech."""
    samples = ROOM_MS * RATE_HZ // 1000
    room = random.standard_normal(samples) * np.exp(-6.9 * np.arange(samples) / RATE_HZ / REVERBERATION_S)
    room[0] += 3.0
    response = lfilter(*butter(2, [hz / RATE_HZ * 2 for hz in LOUDSPEAKER_HZ], "band"), room)
    like_speech = lfilter([1.0], [1.0, -0.8], np.random.default_rng(0).standard_normal(4 * RATE_HZ))
    return np.asarray(response / np.std(oaconvolve(like_speech, response)) * np.std(like_speech))


def _played(sent: Pcm) -> Floats:
    return np.asarray(np.tanh(_coded(sent.astype(np.float64)) / OVERLOAD) * OVERLOAD)


def _coded(samples: Floats) -> Floats:
    pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return ulaw_decode(ulaw_encode(pcm)).astype(np.float64)
