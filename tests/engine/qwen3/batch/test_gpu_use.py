"""The measured use of the GPU: the share that the batch takes, and the share that a neighbour takes from it."""

from __future__ import annotations

import pytest

from engine.qwen3.batch.gpu_use import GpuUse


def test_load_is_the_share_of_the_last_seconds() -> None:
    use = GpuUse(window_s=4.0)
    assert use.load(0.0) == 0.0
    for step in range(40):
        use.add(step * 0.1, 0.03, 0.03)
    assert use.load(3.9) == pytest.approx(0.3)
    assert use.load(5.9) == pytest.approx(0.15)
    assert use.load(100.0) == 0.0


def test_work_that_takes_what_it_took_at_the_start_loses_nothing() -> None:
    use = GpuUse()
    use.add(0.0, 0.11, 0.1)
    assert use.lost(0.8) == 0.0


def test_a_neighbour_that_slows_all_down_costs_in_proportion() -> None:
    """The GPU was full with other speech when it was measured; the calls alone need less."""
    use = GpuUse(window_s=4.0)
    use.add(0.0, 4.0, 2.0)
    assert use.lost(0.2) == pytest.approx(0.2 * (4.0 - 1.15 * 2.0) / 2.0)


def test_a_neighbour_that_stops_the_gpu_now_and_then_costs_the_same_whatever_the_load() -> None:
    use = GpuUse(window_s=4.0)
    use.add(0.0, 0.7, 0.1)  # two stalls of 0.3 s within 0.1 s of work
    assert use.lost(0.8) == pytest.approx((0.7 - 0.115) / 4.0)


def test_work_is_summed_up_and_forgotten_when_the_window_is_over() -> None:
    use = GpuUse(window_s=4.0)
    use.add(0.0, 1.0, 0.9)
    use.add(3.0, 2.0, 1.0)
    assert use.lost(0.1) == pytest.approx(0.1 * (3.0 - 1.15 * 1.9) / 1.9)
    assert use.load(4.0) == pytest.approx(0.5), "what is as old as the window is forgotten"
    assert use.lost(0.1) == pytest.approx(0.1 * (2.0 - 1.15) / 1.0)


def test_a_gpu_works_no_more_than_all_the_time() -> None:
    use = GpuUse(window_s=4.0)
    use.add(0.0, 6.0, 6.0)
    assert use.load(0.0) == 1.0


def test_work_that_was_never_measured_tells_nothing_of_a_neighbour() -> None:
    use = GpuUse()
    use.add(0.0, 1.0, 0.0)
    assert use.lost(0.5) == 0.0
