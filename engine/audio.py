"""PCM on its way from an engine to a telephone: a streaming resampler, G.711 and a limiter."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.speech import Pcm

# Python 3.11 and 3.12 announce that it leaves; audioop-lts takes its place from 3.13 on.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

# Flat to 85 % of the lower Nyquist frequency (3.4 kHz of an 8 kHz line, the edge of the telephone band), nothing left
# from the Nyquist frequency on. 90 dB is below a 16-bit step of speech, and takes 231 taps for 24 to 8 kHz.
PASSBAND: Final = 0.85
STOPBAND_DB: Final = 90.0
# Taps are whole multiples of 2^-28 and samples are 16 bits, so every sum is exact in float64 whatever its order: how
# the stream was cut into chunks cannot change a single bit.
TAP_STEPS: Final = 2.0**28
# Samples worked on by one row of the matrix product; the time a 20 ms push takes is flat around it.
BLOCK_SAMPLES: Final = 96
# A longer push goes in pieces. From twice as many multiplications on, OpenBLAS shares a product among threads, and
# whoever asked spins until the last of them got a core: on a busy machine that held the event loop for 170 ms.
PIECE_PRODUCTS: Final = 2**19
# Rates whose ratio in lowest terms needs more phases than this are not used in audio, and would need gigabytes.
MAX_PHASES: Final = 1024


class Design:
    """What a pair of rates needs, worked out once: the filter as the matrix that makes a block of outputs.

    Output m lies at input position m * down / up. A block is `out` outputs made from the `step` inputs they lie on and
    `reach` more on either side: outputs = inputs @ matrix, matrix of shape (step + 2 * reach, out).
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        common = math.gcd(from_hz, to_hz)
        self.up, self.down = to_hz // common, from_hz // common
        if max(self.up, self.down) > MAX_PHASES:
            raise ValueError(
                f"no resampling from {from_hz} to {to_hz} Hz: their ratio {self.up}/{self.down} is too fine"
            )
        nyquist_hz = min(from_hz, to_hz) / 2
        width = (1 - PASSBAND) * nyquist_hz / (from_hz * self.up)  # of the transition, in cycles a sample
        self.half = math.ceil((STOPBAND_DB - 7.95) / (2.285 * 2 * math.pi * width) / 2)
        cutoff = (1 + PASSBAND) * nyquist_hz / (from_hz * self.up)
        n = np.arange(-self.half, self.half + 1)
        window = np.kaiser(2 * self.half + 1, 0.1102 * (STOPBAND_DB - 8.7))
        self.taps = taps = np.rint(cutoff * np.sinc(cutoff * n) * window * self.up * TAP_STEPS) / TAP_STEPS

        repeat = max(1, BLOCK_SAMPLES // max(self.up, self.down))
        self.out, self.step = repeat * self.up, repeat * self.down
        self.reach = math.ceil(self.half / self.up)
        inputs = np.arange(-self.reach, self.step + self.reach)[:, None]
        tap = np.arange(self.out)[None, :] * self.down - inputs * self.up + self.half
        within = (tap >= 0) & (tap < taps.size)
        self.matrix = np.where(within, taps[np.where(within, tap, 0)], 0.0)
        self.piece = self.step * max(1, PIECE_PRODUCTS // self.matrix.size)

    def ready(self, samples: int) -> int:
        """Returns how many outputs depend on nothing beyond the first `samples` inputs."""
        return max(0, (samples * self.up - 1 - self.half) // self.down + 1)

    def total(self, samples: int) -> int:
        """Returns how many outputs stand for `samples` inputs, rounded to the nearest."""
        return (2 * samples * self.up + self.down) // (2 * self.down)


filter_design = lru_cache(maxsize=32)(Design)


class Resampler:
    """Changes the rate of a stream of PCM. However it is cut into pushes, the output is the same to the bit.

    The filter's delay is taken out: output sample m is what input sounded like at m / to_hz. So a push holds back the
    last few milliseconds (`held_back_s`, under 5 ms for speech rates) until more comes, or `flush` ends the stream.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Raises ValueError for rates that are not positive or have no simple ratio."""
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"sample rates are positive, not {from_hz} and {to_hz} Hz")
        self.from_hz, self.to_hz = from_hz, to_hz
        self._design = None if from_hz == to_hz else filter_design(from_hz, to_hz)
        self.held_back_s = 0.0 if self._design is None else self._design.half / self._design.up / from_hz
        self._taken = self._made = 0  # samples since the start, in and out
        # Inputs still needed, from `reach` before the block in which the next output lies; silence before the start.
        self._held: NDArray[np.float64] = np.zeros(0 if self._design is None else self._design.reach)

    def push(self, pcm: Pcm) -> Pcm:
        """Takes int16 samples at from_hz, shape (samples,); returns those that are ready at to_hz, maybe none."""
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise ValueError(f"PCM is int16 of shape (samples,), not {pcm.dtype} of shape {pcm.shape}")
        if self._design is None:
            return pcm
        if pcm.size > (piece := self._design.piece):
            return np.concatenate([self.push(pcm[start : start + piece]) for start in range(0, pcm.size, piece)])
        self._held = np.concatenate((self._held, pcm))
        self._taken += pcm.size
        return self._make(self._design.ready(self._taken))

    def flush(self) -> Pcm:
        """Ends the stream, returns its rest: n samples have become round(n * to_hz / from_hz). Another may follow."""
        if self._design is None:
            return np.empty(0, np.int16)
        self._held = np.concatenate((self._held, np.zeros(self._design.reach + 1)))
        rest = self._make(self._design.total(self._taken))
        self._taken = self._made = 0
        self._held = np.zeros(self._design.reach)
        return rest

    def _make(self, until: int) -> Pcm:
        """Returns the outputs from the next one to `until`."""
        design = self._design
        assert design is not None
        if until <= self._made:
            return np.empty(0, np.int16)
        first, last = self._made // design.out, -(-until // design.out)
        needed = (last - first) * design.step + 2 * design.reach
        held = self._held
        if held.size < needed:  # the last block is not whole yet: its later outputs come out wrong and are not taken
            held = np.concatenate((held, np.zeros(needed - held.size)))
        rows: NDArray[np.float64] = np.ndarray(
            (last - first, design.step + 2 * design.reach), np.float64, held, 0, (8 * design.step, 8)
        )
        sums = (rows @ design.matrix).reshape(-1)[self._made - first * design.out : until - first * design.out]
        self._held = self._held[(until // design.out - first) * design.step :]
        self._made = until
        np.rint(sums, out=sums)
        np.maximum(sums, -32768, out=sums)  # a third of the time of `np.clip`
        return np.minimum(sums, 32767, out=sums).astype(np.int16)


class RateConverter:
    """Brings 16-bit little-endian mono audio, whose own rate may change on the way, to one rate."""

    def __init__(self, to_hz: int) -> None:
        self._to_hz = to_hz
        self._resampler: Resampler | None = None

    def push(self, pcm: bytes, from_hz: int) -> Pcm:
        """Returns what is ready at `to_hz`, maybe nothing. Where the rate changes, what was held back is lost."""
        if self._resampler is None or self._resampler.from_hz != from_hz:
            self._resampler = Resampler(from_hz, self._to_hz)
        return self._resampler.push(np.frombuffer(pcm, np.int16))

    def flush(self) -> Pcm:
        """Ends the stream and returns the rest of it."""
        return np.empty(0, np.int16) if self._resampler is None else self._resampler.flush()


def resample(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    """Returns a whole clip at another rate: round(samples * to_hz / from_hz) samples, not delayed."""
    if from_hz == to_hz:
        return pcm
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate((resampler.push(pcm), resampler.flush()))


def ulaw_encode(pcm: Pcm) -> bytes:
    """Returns G.711 µ-law, one byte a sample."""
    return audioop.lin2ulaw(pcm.tobytes(), 2)


def alaw_encode(pcm: Pcm) -> bytes:
    """Returns G.711 A-law, one byte a sample."""
    return audioop.lin2alaw(pcm.tobytes(), 2)


# Where the limiter begins, as a part of full scale.
LIMIT_KNEE: Final = 0.75


def soft_limit(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bends samples that are louder than the knee so that they stay within ±1, and leaves the others as they are."""
    loud = np.abs(samples)
    if not np.any(loud > LIMIT_KNEE):
        return samples
    room = np.float32(1 - LIMIT_KNEE)
    bent = np.copysign(LIMIT_KNEE + room * np.tanh((loud - LIMIT_KNEE) / room), samples)
    return np.where(loud > LIMIT_KNEE, bent, samples).astype(np.float32)
