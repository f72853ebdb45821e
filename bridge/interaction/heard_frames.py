"""When one side of a call is heard, frame by frame, and what follows from it: its pauses, and when it falls silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FRAME_S: Final = 0.020
TURN_SILENCE_S: Final = 0.5
"""An agent that is silent for this long has stopped; a pause inside a sentence is shorter."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of sound. Times are seconds from the beginning of the call."""

    start_s: float
    end_s: float


class HeardFrames:
    """The frames of one side in which something is heard."""

    def __init__(self, starts_s: NDArray[np.floating[Any]]) -> None:
        """`starts_s` is when each of these frames begins, in order, shape (frames,)."""
        self.starts_s = starts_s

    def spans(self, join_s: float) -> list[Span]:
        """Returns the stretches of sound; a pause shorter than `join_s` is inside one."""
        if not self.starts_s.size:
            return []
        breaks = np.flatnonzero(np.diff(self.starts_s) - FRAME_S >= join_s - 1e-9)
        firsts = self.starts_s[np.concatenate(([0], breaks + 1))]
        lasts = self.starts_s[np.append(breaks, self.starts_s.size - 1)] + FRAME_S
        return [Span(float(first), float(last)) for first, last in zip(firsts, lasts, strict=True)]

    def silent_from_s(self, onset_s: float, lasting_s: float = TURN_SILENCE_S) -> float:
        """Returns when this side falls silent for `lasting_s` from `onset_s` on. After its last sound it is silent."""
        later_s = self.starts_s[self.starts_s > onset_s - FRAME_S]
        ends_s = np.concatenate(([onset_s], later_s + FRAME_S))
        quiet = np.flatnonzero(np.append(later_s, np.inf) - ends_s >= lasting_s)
        return float(max(ends_s[quiet[0]], onset_s))

    def longest_pause_s(self, from_s: float, to_s: float) -> float:
        """Returns the longest silence between two moments."""
        inside = self.starts_s[(self.starts_s > from_s - FRAME_S) & (self.starts_s < to_s)]
        starts_s = np.concatenate(([from_s], np.minimum(inside + FRAME_S, to_s)))
        ends_s = np.append(np.maximum(inside, from_s), to_s)
        return float((ends_s - starts_s).max(initial=0.0))

    def heard_at(self, at_s: float, within_s: float = 0.3) -> bool:
        """Tells whether this side is heard at a moment, or has been `within_s` before it."""
        return bool(((self.starts_s > at_s - within_s - FRAME_S) & (self.starts_s <= at_s)).any())

    def first_s(self, after_s: float) -> float | None:
        """Returns when this side is first heard after a moment; None if it is not heard again."""
        later = self.starts_s[self.starts_s > after_s]
        return float(later[0]) if later.size else None


def gaps(spans: list[Span]) -> list[Span]:
    """Returns the stretches between the first and the last of these spans in which none of them is."""
    found: list[Span] = []
    until_s: float | None = None
    for span in sorted(spans, key=lambda one: one.start_s):
        if until_s is not None and span.start_s > until_s:
            found.append(Span(until_s, span.start_s))
        until_s = span.end_s if until_s is None else max(until_s, span.end_s)
    return found
