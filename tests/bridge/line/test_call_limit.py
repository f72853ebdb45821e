"""A core that carries thirty calls, and more callers than that: what those in progress hear of it. No sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from bridge.line.call_limit import GROWS_S, LEAST, CallLimit
from bridge.line.clock import TICK_S, Clock, Tick
from bridge.line.recent_lateness import WINDOW_S

CARRIES = 30


@dataclass
class Core:
    """The clock of all calls, on a core each of whose frames takes time."""

    carries: float = CARRIES
    now_s: float = 1_000.0
    calls: dict[Tick, float] = field(default_factory=dict)
    """Each with the time at which it ends."""
    refused: int = 0
    late: list[tuple[float, bool]] = field(default_factory=list)
    """Of every frame when it left, and whether it was late by a whole one."""

    def __post_init__(self) -> None:
        self.limit = CallLimit(lambda: len(self.calls), lambda: self.now_s)
        self.clock = Clock(self.note)
        self.chance = Random(1)

    def note(self, late_s: float) -> None:
        self.late.append((self.now_s, late_s >= TICK_S))
        self.limit.note(late_s)

    def offer(self, stays_s: float) -> bool:
        """One caller. Tells whether the call is taken."""
        if self.limit.is_reached(len(self.calls)):
            self.refused += 1
            return False

        def tick(now_s: float) -> None:
            self.now_s += TICK_S / self.carries * self.chance.uniform(0.3, 1.7)

        self.clock.join(tick, self.now_s)
        self.calls[tick] = self.now_s + stays_s
        return True

    def run(self, seconds: float, every_s: float = np.inf, stays_s: float = 60.0) -> None:
        """Lets time pass, in which callers come."""
        end_s = self.now_s + seconds
        next_caller_s = self.now_s + (0.0 if every_s < np.inf else np.inf)
        while self.now_s < end_s:
            while next_caller_s <= self.now_s:
                self.offer(self.chance.expovariate(1 / stays_s))
                next_caller_s += every_s
            for tick in [tick for tick, ends_s in self.calls.items() if ends_s <= self.now_s]:
                del self.calls[tick]
                self.clock.leave(tick)
            due_s = self.clock.next_s()
            self.now_s = max(self.now_s, min(next_caller_s, end_s, np.inf if due_s is None else due_s))
            self.clock.run(self.now_s)

    def late_share(self, since_s: float) -> float:
        """The share of moments since then at which frames were late."""
        return float(np.mean([late for at_s, late in self.late if at_s >= since_s]))


@pytest.mark.parametrize(("every_s", "stays_s"), [(1.0, 60.0), (0.5, 180.0)])
def test_calls_in_progress_recover_while_more_callers_come_than_are_carried(every_s: float, stays_s: float) -> None:
    core = Core()
    core.run(60, every_s, stays_s)
    began_s = core.now_s
    core.run(180, every_s, stays_s)
    assert core.refused > 50
    assert core.late_share(began_s) < 0.15, "without a limit it is half of all moments, or more"
    assert len(core.calls) > 0.8 * CARRIES, "those that it carries are taken"


def test_a_core_that_has_room_again_takes_all_calls_once_the_limit_is_forgotten() -> None:
    core = Core()
    core.run(30, 0.3)
    assert core.refused
    core.run(3 * GROWS_S, stays_s=1.0)
    core.carries, core.refused = 10 * CARRIES, 0
    core.run(20, 0.2)
    assert not core.refused
    assert len(core.calls) > 2 * CARRIES


def test_few_calls_do_not_make_a_clock_late() -> None:
    """Other programs do. Once they have ended, calls are taken as before."""
    core = Core(carries=2)
    for _ in range(LEAST - 1):
        core.offer(600.0)
    core.run(2 * WINDOW_S)
    assert not core.offer(600.0)
    core.carries = 100 * CARRIES
    core.run(2 * WINDOW_S)
    assert core.offer(600.0)


def after_an_overload(calls: int) -> tuple[Core, CallLimit]:
    """Returns a limit whose clock was late with so many calls, and is in time again since a moment ago."""
    core = Core()
    limit = CallLimit(lambda: calls, lambda: core.now_s)
    keep_time(core, limit, WINDOW_S + 2, late_s=0.1)
    while limit.is_reached(0):
        keep_time(core, limit, 1)
    return core, limit


def keep_time(core: Core, limit: CallLimit, seconds: float, late_s: float = 0.0) -> None:
    """Lets time pass, in which every frame is so late."""
    for _ in range(round(seconds / TICK_S)):
        core.now_s += TICK_S
        limit.note(late_s)


def test_the_limit_begins_below_what_was_too_many_grows_slowly_and_is_forgotten() -> None:
    core, limit = after_an_overload(100)
    assert limit.is_reached(91)
    assert not limit.is_reached(89)
    keep_time(core, limit, GROWS_S)
    assert limit.is_reached(101)
    assert not limit.is_reached(99)
    keep_time(core, limit, GROWS_S - WINDOW_S - 2)
    assert limit.is_reached(110)
    assert not limit.is_reached(108)
    keep_time(core, limit, WINDOW_S + 4)
    assert not limit.is_reached(1_000)


def test_a_few_calls_are_taken_whatever_made_the_clock_late() -> None:
    _, limit = after_an_overload(3)
    assert not limit.is_reached(LEAST - 1)
    assert limit.is_reached(LEAST)
