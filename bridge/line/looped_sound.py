"""A sound that goes round and round, at every rate of a call."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

import numpy as np

from bridge.line.audiosocket import FRAME_MS, RATE_HZ
from engine.audio import resample
from engine.speech import Pcm

COMMON_HZ: Final = (8_000, 16_000)
"""The usual rates of telephone calls. The whole sound is ready at them."""
PIECE_FRAMES: Final = 10
"""At another rate it is made in pieces as a call needs them, within a tick: a long sound would hold up all calls."""
KEPT_BYTES: Final = 16 * 2**20
"""How much of the pieces is kept: for 800 calls at 48 kHz, each at a place of its own. A short sound is kept whole."""
AROUND_FRAMES: Final = 2
"""More than any resampler looks ahead or back."""
SAMPLE_BYTES: Final = 2


class LoopedSound:
    """One sound, shared by all calls. Its place is counted in wire frames, so that it is the same at every rate."""

    def __init__(self, pcm: Pcm, rate_hz: int) -> None:
        """Takes mono audio, of which a last part of less than a wire frame is left out. Raises ValueError."""
        self.frames = len(pcm) * 1000 // (rate_hz * FRAME_MS)
        """How many wire frames it lasts."""
        if not self.frames:
            raise ValueError(f"must last {FRAME_MS} ms or longer")
        pcm = pcm[: self.frames * rate_hz * FRAME_MS // 1000]
        self._ready = {hz: _around(pcm, rate_hz, hz, self.frames).astype("<i2").tobytes() for hz in COMMON_HZ}
        if rate_hz not in RATE_HZ.values():  # from 11,025 Hz, for one, not every rate of a call can be made
            between_hz = 44_100 if 44_100 % rate_hz == 0 else 48_000
            pcm, rate_hz = _around(pcm, rate_hz, between_hz, self.frames), between_hz
        self._pcm = pcm
        self._rate_hz = rate_hz
        self._pieces: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        """By rate and number; the last one that was heard is the last one here."""
        self._pieces_bytes = 0

    def frame(self, index: int, rate_hz: int) -> bytes:
        """Returns one wire frame of 16-bit little-endian mono; after the last comes the first again."""
        index %= self.frames
        if (sound := self._ready.get(rate_hz)) is None:
            number, index = divmod(index, PIECE_FRAMES)
            sound = self._piece(number, rate_hz)
        size = rate_hz * FRAME_MS // 1000 * SAMPLE_BYTES
        return sound[index * size : (index + 1) * size]

    def _piece(self, number: int, rate_hz: int) -> bytes:
        kept = self._pieces.get((rate_hz, number))
        if kept is None:
            kept = self._pieces[rate_hz, number] = self._made(number, rate_hz)
            self._pieces_bytes += len(kept)
            while self._pieces_bytes > KEPT_BYTES:
                self._pieces_bytes -= len(self._pieces.popitem(last=False)[1])
        else:
            self._pieces.move_to_end((rate_hz, number))
        return kept

    def _made(self, number: int, rate_hz: int) -> bytes:
        """Makes a piece as it lies in the whole."""
        here, there = (hz * FRAME_MS // 1000 for hz in (self._rate_hz, rate_hz))
        first = number * PIECE_FRAMES
        around = np.arange((first - AROUND_FRAMES) * here, (first + PIECE_FRAMES + AROUND_FRAMES) * here)
        pcm = resample(self._pcm.take(around, mode="wrap"), self._rate_hz, rate_hz)
        return pcm[AROUND_FRAMES * there : (AROUND_FRAMES + PIECE_FRAMES) * there].astype("<i2").tobytes()


def _around(pcm: Pcm, from_hz: int, to_hz: int, frames: int) -> Pcm:
    """Returns so many wire frames at another rate, as if the sound had gone round before and went on after.

    So the seam is not heard.
    """
    common_hz = math.gcd(from_hz, to_hz)
    steps = math.ceil(AROUND_FRAMES * FRAME_MS / 1000 * common_hz)  # after each of them, a sample of both rates begins
    around = np.pad(pcm, steps * from_hz // common_hz, mode="wrap")
    first = steps * to_hz // common_hz
    return resample(around, from_hz, to_hz)[first : first + frames * to_hz * FRAME_MS // 1000]
