"""Graphs on a GPU: captured before the first call, or the reason why not; uploads; the second start. See also
test_graph_runner.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.qwen3.kernel_support import CUDA, NEEDS_GPU, WHY_NOT

if WHY_NOT or not CUDA:
    pytest.skip(WHY_NOT or NEEDS_GPU, allow_module_level=True)

from engine.qwen3.batch.sentence import End
from engine.qwen3.cuda import graphs
from engine.qwen3.model import upload
from tests.support.qwen3.plain_gpu import a_sentence, fast, play


@pytest.fixture(scope="module", autouse=True)
def _exact() -> Any:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        yield


def test_all_is_captured_before_the_first_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path)
    assert runner.warnings == []
    captured = runner.graphs
    assert captured > 0
    play(runner, {0: [a_sentence(0), a_sentence(1, 1, reference=71)], 3: [a_sentence(2)]}, {0: 13, 1: 9, 2: 7})
    assert runner.graphs == captured


def test_what_cannot_be_captured_is_launched_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def capture_begin(self, **_: Any) -> None:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graphs.torch.cuda, "CUDAGraph", Refusing)
    runner = fast(monkeypatch, tmp_path)
    monkeypatch.undo()
    assert any("operation not permitted" in warning for warning in runner.warnings)
    assert runner.graphs == 0
    heard, ends = play(runner, {0: [a_sentence(0)]}, {0: 13})
    captured, _ = play(fast(monkeypatch, tmp_path), {0: [a_sentence(0)]}, {0: 13})
    assert ends == {0: End.BUDGET} or ends == {0: End.SPOKEN}
    assert np.array_equal(heard[0], captured[0])


def test_uploads_arrive_as_sent_however_far_behind_the_gpu_is() -> None:
    uploads = graphs.Uploads(8)
    kept = torch.zeros(4 * graphs.UPLOADS, 8, dtype=torch.int64, device="cuda")
    torch.cuda._sleep(200_000_000)  # type: ignore[no-untyped-call]
    for number, row in enumerate(kept):
        uploads.send([number + i for i in range(1 + number % 8)], row)
    torch.cuda.synchronize()
    for number, row in enumerate(kept.tolist()):
        size = 1 + number % 8
        assert row == [number + i for i in range(size)] + [0] * (8 - size)


def test_the_second_start_measures_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fast(monkeypatch, tmp_path)
    tried: list[str] = []
    capture = graphs.Capture.__call__
    monkeypatch.setattr(
        graphs.Capture, "__call__", lambda self, name, work: (tried.append(name), capture(self, name, work))[1]
    )
    second = fast(monkeypatch, tmp_path)
    assert [name for name in tried if name.startswith("frame")] == [f"frame of {size}" for size in (4, 2, 1)]
    assert second.frames.variants == first.frames.variants


def test_a_call_is_put_into_the_batch_and_spoken_to_without_waiting_for_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits in there is an error; the results are waited for by event, one step later."""
    runner = fast(monkeypatch, tmp_path)
    play(runner, {0: [a_sentence(0)]}, {0: 13})  # the prefix is kept, torch's pools have been filled
    later = {0: [a_sentence(1)], 3: [a_sentence(2)]}
    torch.cuda.set_sync_debug_mode("error")
    try:
        _, ends = play(runner, later, {1: 9, 2: 7})
        upload.upload(torch.arange(100), torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert set(ends) == {1, 2}
