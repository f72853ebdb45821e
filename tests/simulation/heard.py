"""What was said on a line, read back from its frames: each word of the simulated engine has a level of its own."""

from __future__ import annotations

import numpy as np

from bridge.line.audiosocket import FRAME_MS
from tests.simulation.voice import RATE_HZ

HEADER_BYTES = 3
FRAME_SAMPLES = FRAME_MS * RATE_HZ // 1000
MOST_CHANGES = 3
"""In a frame of speech, for no word is shorter than a frame; in the fade after a cut nearly every sample differs."""


def levels_of(frames: list[bytes]) -> list[tuple[int, int]]:
    """Returns each level in the order in which it was heard, with the number of its samples; without fades."""
    if not frames:
        return []
    width = HEADER_BYTES + FRAME_SAMPLES * 2
    raw = np.frombuffer(b"".join(frames), np.uint8).reshape(-1, width)[:, HEADER_BYTES:]
    samples = np.ascontiguousarray(raw).view(np.int16)
    spoken = samples[samples.any(axis=1)]
    spoken = spoken[(np.diff(spoken, axis=1) != 0).sum(axis=1) <= MOST_CHANGES].reshape(-1)
    spoken = spoken[spoken != 0]
    if not len(spoken):
        return []
    starts = [0, *(np.flatnonzero(np.diff(spoken)) + 1).tolist()]
    lengths = np.diff([*starts, len(spoken)]).tolist()
    return list(zip(spoken[starts].tolist(), lengths, strict=True))
