"""The clock, driven by hand: deadlines, lateness, catching up and giving up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.line.clock import CATCH_UP_S, PHASES, REBASE_S, TICK_S, Clock


class Call:
    """Notes when it was ticked."""

    def __init__(self):
        self.ticks = []

    def tick(self, now_s):
        self.ticks.append(now_s)

    @property
    def gaps(self):
        return [later - earlier for earlier, later in zip(self.ticks, self.ticks[1:], strict=False)]


def run_until(clock, end_s, late_s=lambda now_s: 0.0):
    """Drives the clock as its timer would, `late_s` late at each wake-up; returns when it was last run."""
    now_s = 0.0
    while (due_s := clock.next_s()) is not None and due_s < end_s:
        now_s = max(now_s, due_s + late_s(due_s))
        clock.run(now_s)
    return now_s


def test_sleeps_while_nobody_is_there():
    assert Clock().next_s() is None


def test_ticks_within_20_ms_of_joining_and_every_20_ms_from_then():
    clock, call = Clock(), Call()
    clock.join(call.tick, now_s=7.0031)
    run_until(clock, 9.0)
    assert 7.0031 < call.ticks[0] <= 7.0231 + 1e-9
    assert call.gaps == pytest.approx([TICK_S] * len(call.gaps))
    assert len(call.ticks) == pytest.approx(2.0 / TICK_S, abs=1)


def test_spreads_calls_over_the_tick():
    clock, calls = Clock(), [Call() for _ in range(5 * PHASES)]
    for call in calls:
        clock.join(call.tick, now_s=1.0)
    run_until(clock, 1.1)
    moments = [round(call.ticks[0] % TICK_S, 6) for call in calls]
    assert all(moments.count(moment) == 5 for moment in moments)


def test_lateness_does_not_add_up():
    clock, call = Clock(), Call()
    clock.join(call.tick, now_s=0.0)
    run_until(clock, 100.0, late_s=lambda due_s: 0.004)
    assert len(call.ticks) == pytest.approx(100.0 / TICK_S, abs=2)


@pytest.mark.parametrize("stall_s", [0.021, 0.035, 0.055])
def test_a_short_stall_is_caught_up_without_a_burst(stall_s):
    clock, call = Clock(), Call()
    clock.join(call.tick, now_s=0.0)
    run_until(clock, 10.0, late_s=lambda due_s: stall_s if 4.999 < due_s < 5.019 else 0.0)
    assert len(call.ticks) == pytest.approx(10.0 / TICK_S, abs=1), "no frame is lost"
    assert min(call.gaps) >= CATCH_UP_S - 1e-9, "no two frames leave together"
    assert clock.missed_ticks == 0


def test_a_long_stall_drops_what_was_missed_and_keeps_the_grid():
    clock, call = Clock(), Call()
    clock.join(call.tick, now_s=0.0)
    run_until(clock, 10.0, late_s=lambda due_s: 0.5 if 4.999 < due_s < 5.019 else 0.0)
    assert clock.missed_ticks == 25
    assert len(call.ticks) + clock.missed_ticks == pytest.approx(10.0 / TICK_S, abs=1)
    assert min(call.gaps) >= CATCH_UP_S - 1e-9
    assert call.ticks[-1] % TICK_S == pytest.approx(call.ticks[0] % TICK_S, abs=1e-6)


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=60))
def test_never_a_burst_whatever_the_stalls(stalls):
    clock, call = Clock(), Call()
    clock.join(call.tick, now_s=0.0)
    left = iter(stalls)
    end_s = run_until(clock, 5.0, late_s=lambda due_s: next(left, 0.0))
    assert min(call.gaps, default=1.0) >= CATCH_UP_S - 1e-9
    behind = end_s / TICK_S - len(call.ticks) - clock.missed_ticks
    assert abs(behind) <= REBASE_S / TICK_S + 1


def test_a_call_that_left_is_not_ticked_even_by_the_run_it_left_in():
    clock, first, second = Clock(), Call(), Call()

    def tick(now_s):
        first.tick(now_s)
        clock.leave(tick)

    clock.join(tick, now_s=0.0)
    clock.join(second.tick, now_s=0.0)
    run_until(clock, 1.0)
    assert len(first.ticks) == 1
    assert len(second.ticks) > 40


def test_one_calls_fault_leaves_the_others_ticking():
    clock, healthy = Clock(), Call()

    def broken(now_s):
        raise RuntimeError("no such sample")

    for _ in range(PHASES):
        clock.join(broken, now_s=0.0)
    clock.join(healthy.tick, now_s=0.0)
    run_until(clock, 1.0)
    assert len(healthy.ticks) == pytest.approx(1.0 / TICK_S, abs=1)


def test_reports_how_late_it_ran():
    late = []
    clock, call = Clock(late.append), Call()
    clock.join(call.tick, now_s=0.0)
    run_until(clock, 0.1, late_s=lambda due_s: 0.003)
    assert late == pytest.approx([0.003] * len(late))
