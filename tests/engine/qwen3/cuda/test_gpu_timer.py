"""The timer of the GPU's work, with events whose times are given."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.qwen3.cuda.gpu_timer import GpuTimer


class _Gpu:
    """Events take the times of a list, in the order in which they are recorded; those up to `now_ms` have come."""

    def __init__(self, *times_ms: float) -> None:
        self.times_ms = list(times_ms)
        self.now_ms = float("inf")

    def event(self, **_: Any) -> Any:
        gpu = self

        class Event:
            at_ms = 0.0

            def record(self) -> None:
                self.at_ms = gpu.times_ms.pop(0)

            def query(self) -> bool:
                return self.at_ms <= gpu.now_ms

            def elapsed_time(self, later: Any) -> float:
                return float(later.at_ms - self.at_ms)

        return Event()


def timed(monkeypatch: pytest.MonkeyPatch, gpu: _Gpu, *expected_s: float | None) -> GpuTimer:
    monkeypatch.setattr(torch.cuda, "Event", gpu.event)
    timer = GpuTimer()
    for each in expected_s:
        with timer.timing(each):
            pass
    return timer


def test_two_pieces_of_work_at_once_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = timed(monkeypatch, _Gpu(100, 110, 105, 120, 130, 131), 0.01, 0.012, 0.001)
    assert timer.collect() == pytest.approx((0.021, 0.023))
    assert timer.collect() == (0.0, 0.0)


def test_work_that_goes_on_is_counted_later_and_what_it_overlapped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = _Gpu(100, 110, 105, 125)
    gpu.now_ms = 115
    timer = timed(monkeypatch, gpu, 0.01, 0.02)
    assert timer.collect() == pytest.approx((0.01, 0.01))
    gpu.now_ms = 125
    assert timer.collect() == pytest.approx((0.015, 0.02))


def test_work_of_unknown_length_is_expected_to_take_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = timed(monkeypatch, _Gpu(0, 8), None)
    assert timer.collect() == pytest.approx((0.008, 0.008))
