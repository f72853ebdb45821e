"""What somebody hears who plays a stream of PCM as it comes, with no buffer at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RATE_HZ = 24_000
SAMPLE_BYTES = 2
WINDOW_SAMPLES = 240
AUDIBLE_DBFS = -50.0
"""The level of 10 ms from which on they are sound. The codec's silence is softer, the softest consonants are louder."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One reply. Times are in ms after the request was sent."""

    first_ms: float
    """When the first sample came, which is when playback begins."""
    audible_ms: float
    """When the first audible sample came."""
    played_ms: float
    """When it was played: later by the silence before it."""
    gaps: int
    """Underruns: how often the next sample came after it was due."""
    gap_ms: float
    """The longest of them. Playback goes on where it stopped."""
    sound_s: float


def heard(arrivals: Sequence[tuple[float, bytes]], sent_s: float) -> Heard | None:
    """Returns what is heard of pieces of PCM and when each came; None where nothing is audible."""
    pcm = np.frombuffer(b"".join(piece for _, piece in arrivals), np.int16)
    windows = pcm[: pcm.size // WINDOW_SAMPLES * WINDOW_SAMPLES].astype(np.float64).reshape(-1, WINDOW_SAMPLES) / 32768
    loud = np.flatnonzero(np.mean(windows**2, axis=1) >= 10 ** (AUDIBLE_DBFS / 10)) if windows.size else windows
    if not loud.size:
        return None
    audible = int(loud[0]) * WINDOW_SAMPLES
    first_s = arrivals[0][0]
    ends_s, samples, gaps, longest_s = first_s, 0, 0, 0.0
    audible_s = played_s = 0.0
    for came_s, piece in arrivals:
        late_s = came_s - ends_s
        if late_s > 0:  # the first piece is due when it comes
            gaps += 1
            longest_s = max(longest_s, late_s)
            ends_s = came_s
        size = len(piece) / SAMPLE_BYTES
        if samples <= audible < samples + size:
            audible_s, played_s = came_s, ends_s + (audible - samples) / RATE_HZ
        samples += size
        ends_s += size / RATE_HZ
    return Heard(
        (first_s - sent_s) * 1e3, (audible_s - sent_s) * 1e3, (played_s - sent_s) * 1e3,
        gaps, longest_s * 1e3, samples / RATE_HZ,
    )  # fmt: skip
