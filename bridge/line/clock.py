"""One 20 ms clock for every call of the process: a schedule of absolute deadlines, driven from outside."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from bridge.line.audiosocket import FRAME_MS

log = structlog.get_logger(__name__)

TICK_S: Final = FRAME_MS / 1000
PHASES: Final = 10
"""The number of moments in a tick over which calls are spread, so that 500 frames do not wait behind one another."""
CATCH_UP_S: Final = TICK_S / 2
"""The shortest time between two frames of a call that is behind: faster than real time, but never a burst."""
REBASE_S: Final = 0.060
"""A clock that is later than this drops the ticks it missed: phones buffer too little to use frames so late."""

Tick = Callable[[float], None]
"""A function that is called once every 20 ms with the time now, in seconds of the injected clock."""


@dataclass(slots=True)
class _Phase:
    due_s: float = 0.0
    not_before_s: float = 0.0
    ticks: list[Tick] = field(default_factory=list)

    def next_s(self) -> float:
        return max(self.due_s, self.not_before_s)


class Clock:
    """Knows which call is due when. It holds no timer: its driver sleeps until `next_s()`, then calls `run(now_s)`."""

    def __init__(self, on_lateness: Callable[[float], None] = lambda late_s: None) -> None:
        self._phases = [_Phase() for _ in range(PHASES)]
        self._on_lateness = on_lateness
        self.missed_ticks = 0
        """The number of frames never sent because the process stood still for more than `REBASE_S`."""

    def join(self, tick: Tick, now_s: float) -> None:
        """Calls `tick` every 20 ms, for the first time within 20 ms, in the phase that has the fewest calls."""
        index = min(range(PHASES), key=lambda i: (len(self._phases[i].ticks), _first_due_s(i, now_s)))
        phase = self._phases[index]
        if not phase.ticks:
            phase.due_s = _first_due_s(index, now_s)
            phase.not_before_s = 0.0
        phase.ticks.append(tick)

    def leave(self, tick: Tick) -> None:
        """Never calls `tick` again. Does nothing if it has left already."""
        for phase in self._phases:
            if tick in phase.ticks:
                phase.ticks.remove(tick)

    def next_s(self) -> float | None:
        """Returns when `run` is to be called next, or None while nobody has joined."""
        return min((phase.next_s() for phase in self._phases if phase.ticks), default=None)

    def run(self, now_s: float) -> None:
        """Ticks everyone who is due at `now_s`, each at most once."""
        for phase in self._phases:
            if phase.ticks and phase.next_s() <= now_s:
                self._run_phase(phase, now_s)

    def _run_phase(self, phase: _Phase, now_s: float) -> None:
        late_s = now_s - phase.due_s
        self._on_lateness(late_s)
        missed = missed_ticks(late_s)
        self.missed_ticks += missed * len(phase.ticks)
        phase.due_s += (missed + 1) * TICK_S
        phase.not_before_s = now_s + CATCH_UP_S
        for tick in tuple(phase.ticks):
            try:
                tick(now_s)
            except Exception:  # one call's fault must not stop the others' clock
                log.exception("a call's tick failed; it is taken off the clock")
                self.leave(tick)


def missed_ticks(late_s: float) -> int:
    """Returns how many ticks of each call are left out at a moment at which the clock is so late."""
    return math.floor(late_s / TICK_S) if late_s > REBASE_S else 0


def _first_due_s(index: int, now_s: float) -> float:
    """Returns the first moment after `now_s` on the grid of phase `index`."""
    offset_s = index * TICK_S / PHASES
    return (math.floor((now_s - offset_s) / TICK_S) + 1) * TICK_S + offset_s
