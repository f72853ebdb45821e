"""The arithmetic of `tts_gpu profile`: which stream is which, how long it works, what runs beside what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.qwen3.kernel_support import WHY_NOT

if WHY_NOT:
    pytest.skip(WHY_NOT, allow_module_level=True)

from benchmarks.gpu.overlap import common, report, roles, union


def event(stream: int, name: str, begin_ms: float, end_ms: float) -> dict[str, Any]:
    return {"name": name, "ts": begin_ms * 1e3, "dur": (end_ms - begin_ms) * 1e3, "args": {"stream": stream}}


EVENTS = [
    event(7, "_rms", 0, 1),
    event(7, "_attend", 1, 4),
    event(7, "Memcpy DtoH", 4, 4.5),
    event(9, "_rms", 2, 3),
    event(9, "_window", 3, 6),
    event(11, "Memcpy DtoH", 6, 7),
    event(13, "Memset", 8, 9),
]


def test_streams_are_told_by_what_only_they_run() -> None:
    assert roles(EVENTS) == {7: "synthesis", 9: "codec", 11: "transfer", 13: "other"}


def test_spans() -> None:
    assert union([(3, 5), (0, 1), (1, 2), (4, 6)]) == [(0, 2), (3, 6)]
    assert common([(0, 4), (6, 8)], [(3, 7)]) == 2


def test_report() -> None:
    lines = report(EVENTS, steps=2).splitlines()
    assert lines[1].split() == ["codec", "2.00", "1"]
    assert lines[3].split() == ["synthesis", "2.25", "2"]
    # Codec and transfer work from 2 to 7, synthesis until 4.5.
    assert "of 2.50 ms a step of codec and transfer, 1.25 ms (50%)" in lines[-1]
    assert "would take 5.25 ms a step, together they take 4.00 of 4.50 ms" in lines[-1]
