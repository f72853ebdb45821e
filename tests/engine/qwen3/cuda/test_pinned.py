"""Page-locked buffers and the file of the tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.qwen3.cuda import pinned as memory
from engine.qwen3.cuda.pinned import PinnedPool
from engine.qwen3.cuda.tuning import Tuning


def test_buffers_are_lent_and_come_back() -> None:
    pool = PinnedPool(16, torch.float32, 2, pin=False)
    first, second = pool.take(), pool.take()
    assert first.data_ptr() != second.data_ptr()
    assert pool.free == 0
    third = pool.take()  # none left: it grows
    assert third.shape == (16,)
    for buffer in (first, second, third):
        pool.give(buffer)
    assert pool.free == 3
    assert pool.take() is first


def test_where_memory_cannot_be_locked_it_is_ordinary_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.empty

    def refuse(*shape: int, pin_memory: bool = False, **how: object) -> torch.Tensor:
        if pin_memory:
            raise RuntimeError("cudaHostAlloc: out of memory\nmore")
        return plain(*shape, **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(torch, "empty", refuse)
    pool = PinnedPool(4, torch.float32, 3)
    assert not pool.pinned
    assert pool.free == 3
    assert pool.warning == (
        "page-locked memory: cudaHostAlloc: out of memory; using ordinary memory, copies from the GPU are slower"
    )


def test_what_a_crowd_of_sentences_needs_is_asked_for_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other would be the same block of the pool again and again."""
    plain, here, most = torch.empty, [0], [0]

    class Block:
        def __init__(self) -> None:
            here[0] += 1
            most[0] = max(most[0], here[0])

        def __del__(self) -> None:
            here[0] -= 1

    def lend(*shape: object, pin_memory: bool = False, **how: object) -> object:
        return Block() if pin_memory else plain(*shape, **how)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "empty", lend)
    memory.fill_pool()
    assert most[0] == len(memory.TEXT_BYTES) * memory.TEXTS
    assert here[0] == 0, "it is the pool's afterwards"


def test_tuning_outlives_the_process_and_belongs_to_its_key(tmp_path: Path) -> None:
    tuning = Tuning("a GPU", tmp_path)
    assert tuning.get("frame of 1") is None
    tuning.put("frame of 1", {"seconds": 0.002})
    tuning.save()
    other = Tuning("another GPU", tmp_path)
    assert other.get("frame of 1") is None
    other.put("frame of 1", {"seconds": 0.02})
    other.save()
    assert Tuning("a GPU", tmp_path).get("frame of 1") == {"seconds": 0.002}


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_broken_file_of_tuning_starts_afresh(tmp_path: Path, content: str) -> None:
    (tmp_path / "choices.json").write_text(content)
    tuning = Tuning("a GPU", tmp_path)
    assert tuning.get("frame of 1") is None
    tuning.put("frame of 1", {"seconds": 0.002})
    tuning.save()
    assert Tuning("a GPU", tmp_path).get("frame of 1") is not None


def test_tuning_that_cannot_be_kept_is_no_error(tmp_path: Path, logged: list[Any]) -> None:
    (tmp_path / "file").write_text("")
    tuning = Tuning("a GPU", tmp_path / "file")
    tuning.put("frame of 1", {})
    tuning.save()
    assert "cannot keep what was measured" in str(logged)
