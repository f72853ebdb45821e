"""What happened to the callers of `benchmarks.overload`, and its table. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import markdown
from bridge.line.clock import TICK_S

HEAD: Final = (
    "from second", "calls", "came", "refused", "closed", "unreached", "cut", "overloaded", "late", "silent", "frames"
)  # fmt: skip
UNKNOWN: Final = "–"


@dataclass(frozen=True, slots=True)
class Told:
    """What the server told of itself at one moment, in seconds since the first caller came."""

    at_s: float
    calls: int
    overloaded: bool
    moments: float
    """All moments at which frames were due so far."""
    in_time: float
    """Those of them at which none was late by a whole frame."""
    silent: float
    """The frames so far that were silent for want of speech."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one caller heard, in seconds since the first one came."""

    from_s: float
    until_s: float
    arrivals_s: NDArray[np.float64]

    def due(self, begin_s: float, end_s: float) -> float:
        """Returns how many frames were due to it between two moments."""
        return max(0.0, min(end_s, self.until_s) - max(begin_s, self.from_s)) / TICK_S


@dataclass(slots=True)
class Seen:
    """How callers fared, by the second in which they came or were cut off."""

    began_s: float = 0.0
    """When the first one came, of the monotonic clock."""
    came: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    """Calls that were not announced: the server said no, or did not answer the dialplan in time."""
    closed: Counter[int] = field(default_factory=Counter)
    """Calls that were not announced before, and closed as they connected."""
    unreached: Counter[int] = field(default_factory=Counter)
    """Calls whose connection was not taken in time."""
    cut: Counter[int] = field(default_factory=Counter)
    """Calls in progress that the server ended."""
    told: list[Told] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)


def table(seen: Seen, every_s: int) -> str:
    """Returns what happened, in steps of so many seconds."""
    ends_s = max((one.at_s for one in seen.told), default=0.0)
    return markdown([HEAD, *(_row(seen, begin, every_s) for begin in range(0, int(ends_s) + 1, every_s))])


def _row(seen: Seen, begin: int, every_s: int) -> tuple[str, ...]:
    end, seconds = begin + every_s, range(begin, begin + every_s)
    within = [one for one in seen.told if begin <= one.at_s < end]
    came = sum(int(((one.arrivals_s >= begin) & (one.arrivals_s < end)).sum()) for one in seen.heard)
    due = sum(one.due(begin, end) for one in seen.heard)
    counts = (seen.came, seen.refused, seen.closed, seen.unreached, seen.cut)
    return (
        str(begin),
        f"{min(one.calls for one in within)}–{max(one.calls for one in within)}" if within else UNKNOWN,
        *(str(sum(of[each] for each in seconds)) for of in counts),
        f"{sum(one.overloaded for one in within) / len(within):.0%}" if within else UNKNOWN,
        *_late_and_silent(seen.told, begin, end),
        f"{came / due:.1%}" if due else UNKNOWN,
    )


def _late_and_silent(told: list[Told], begin_s: float, end_s: float) -> tuple[str, str]:
    """Returns the share of moments at which frames were late, and the silent frames, between two moments.

    A server that is too busy to answer in that time tells of it later.
    """
    first = max(
        (one for one in told if one.at_s < begin_s), key=lambda one: one.at_s, default=Told(0, 0, False, 0, 0, 0)
    )
    last = max((one for one in told if one.at_s < end_s), key=lambda one: one.at_s, default=first)
    if last is first:
        return UNKNOWN, UNKNOWN
    due = last.moments - first.moments
    late = f"{1 - (last.in_time - first.in_time) / due:.0%}" if due else UNKNOWN
    return late, f"{last.silent - first.silent:.0f}"
