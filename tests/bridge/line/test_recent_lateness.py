"""When a clock that runs late is taken for one that carries no more calls."""

from __future__ import annotations

import pytest

from bridge.line.clock import PHASES, TICK_S, Clock
from bridge.line.recent_lateness import WINDOW_S, RecentLateness


class Machine:
    """A clock with one call in each phase, and a core that may be too slow for it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lateness = RecentLateness(lambda: self.now_s)
        self.clock = Clock(self.lateness.note)
        for _ in range(PHASES):
            self.clock.join(lambda now_s: None, self.now_s)

    def run(self, seconds: float, late_s: float = 0.0) -> None:
        """Runs the clock, which its driver always reaches so late."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            due_s = self.clock.next_s()
            assert due_s is not None
            self.now_s = max(self.now_s, due_s + late_s)
            self.clock.run(self.now_s)


@pytest.mark.parametrize("late_s", [0.0, TICK_S / 2])
def test_a_clock_that_is_late_by_less_than_a_frame_carries_more(late_s: float) -> None:
    machine = Machine()
    machine.run(3 * WINDOW_S, late_s)
    assert not machine.lateness.is_overloaded()


def test_a_clock_that_is_late_for_seconds_carries_no_more_until_it_has_caught_up() -> None:
    machine = Machine()
    machine.run(WINDOW_S - 1, TICK_S * 1.5)
    assert not machine.lateness.is_overloaded(), "too short"
    machine.run(3, TICK_S * 1.5)
    assert machine.lateness.is_overloaded()
    machine.run(2)
    assert not machine.lateness.is_overloaded()


def test_a_clock_that_is_reached_less_than_once_a_second_carries_no_more() -> None:
    machine = Machine()
    machine.run(3 * WINDOW_S)
    machine.run(3 * WINDOW_S, 1.3)
    for _ in range(10):
        machine.run(0.1, 1.3)
        assert machine.lateness.is_overloaded()


def test_a_clock_that_stands_still_for_a_part_of_each_second_carries_no_more() -> None:
    """It leaves out the frames of that time, though most moments that it reaches are on time."""
    machine = Machine()
    for _ in range(WINDOW_S + 1):
        machine.run(0.6)
        machine.now_s += 0.4
    machine.run(0.1)
    assert machine.lateness.is_overloaded()


def test_one_stall_is_no_overload() -> None:
    machine = Machine()
    machine.run(WINDOW_S)
    machine.now_s += 2.5
    machine.run(1)
    assert not machine.lateness.is_overloaded()


def test_a_clock_without_calls_carries_more() -> None:
    machine = Machine()
    machine.run(2 * WINDOW_S, 2 * TICK_S)
    assert machine.lateness.is_overloaded()
    machine.now_s += WINDOW_S
    assert not machine.lateness.is_overloaded(), "the calls have ended, and no frame is due"
