"""The sound of a recorded call: how loud it is where, and its bytes, also while it is being written."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

HEADER_BYTES: Final = 44
"""The header of the WAV files that `CallRecording` writes."""
FRAME_BYTES: Final = 4
"""One sample of the caller's and one of the agent's, 16 bits each."""
MAX_COLUMNS: Final = 4_000
"""The most peaks of one answer: more than a screen has points."""
SAMPLES_A_COLUMN: Final = 256
"""How many samples a peak is made of at most, so that an hour takes no longer than a minute."""
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")


class NoSound(ValueError):
    """A file is no recording of ours."""


@dataclass(frozen=True, slots=True)
class CallSound:
    """The sound of one call: caller left, agent right."""

    path: Path
    rate_hz: int
    frames: int

    @classmethod
    def of(cls, path: Path) -> CallSound:
        """Returns what there is so far of a recording. Raises NoSound, OSError.

        While it is written, and for good where its server was killed, its header tells a length that it does not have.
        """
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
            size_bytes = os.fstat(file.fileno()).st_size
        if len(header) < HEADER_BYTES:
            raise NoSound(f"{path.name}: too short")
        riff, _, wave, _, _, form, sides, rate_hz, _, frame_bytes, _, data, told_bytes = _HEADER.unpack(header)
        if (riff, wave, form, sides, frame_bytes, data) != (b"RIFF", b"WAVE", 1, 2, FRAME_BYTES, b"data"):
            raise NoSound(f"{path.name}: no stereo WAV of 16 bits")
        if not rate_hz:
            raise NoSound(f"{path.name}: has no rate")
        return cls(path, rate_hz, min(told_bytes, size_bytes - HEADER_BYTES) // FRAME_BYTES)

    @property
    def duration_ms(self) -> int:
        return self.frames * 1000 // self.rate_hz

    @property
    def size_bytes(self) -> int:
        """How long the WAV file is that `read` gives."""
        return HEADER_BYTES + self.frames * FRAME_BYTES

    def read(self, start: int, length: int) -> bytes:
        """Returns bytes of a WAV file whose header tells the true length. Raises OSError."""
        header = self._header()[start : start + length]
        with open(self.path, "rb") as file:
            file.seek(max(start, HEADER_BYTES))
            return header + file.read(min(length - len(header), self.size_bytes - max(start, HEADER_BYTES)))

    def peaks(self, from_ms: int, to_ms: int, columns: int) -> bytes:
        """Returns for each of so many equal stretches the caller's peak and the agent's, each as one byte, 255 loudest.

        What lies beyond the end is silence. Raises OSError.
        """
        columns = max(1, min(columns, MAX_COLUMNS))
        first, last = (ms * self.rate_hz // 1000 for ms in (from_ms, max(to_ms, from_ms + 1)))
        step = max(1, (last - first) // columns)
        stride = max(1, step // SAMPLES_A_COLUMN)
        peaks = np.zeros((columns, 2), np.uint8)
        there = min(columns, max(0, (self.frames - first) // step))
        if there:
            sound = np.memmap(self.path, np.int16, "r", HEADER_BYTES, (self.frames, 2))
            stretch = sound[first : first + there * step].reshape(there, step, 2)[:, ::stride]
            loudest = np.maximum(stretch.max(axis=1), -(stretch.min(axis=1).astype(np.int32)))
            peaks[:there] = np.minimum(loudest >> 7, 255)
        return peaks.tobytes()

    def _header(self) -> bytes:
        data_bytes = self.frames * FRAME_BYTES
        byte_rate = self.rate_hz * FRAME_BYTES
        form = (b"fmt ", 16, 1, 2, self.rate_hz, byte_rate, FRAME_BYTES, 16)
        return _HEADER.pack(b"RIFF", 36 + data_bytes, b"WAVE", *form, b"data", data_bytes)
