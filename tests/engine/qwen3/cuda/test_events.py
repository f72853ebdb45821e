"""How the host waits for the GPU: asleep where cores are few."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.qwen3.cuda.events import event


@pytest.mark.parametrize(("cores", "sleeps"), [(2, True), (8, True), (16, False)])
def test_a_wait_spins_only_where_cores_are_many(monkeypatch: pytest.MonkeyPatch, cores: int, sleeps: bool) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(torch.cuda, "Event", lambda **how: asked.append(how))
    event()
    assert asked == [{"blocking": sleeps}]
