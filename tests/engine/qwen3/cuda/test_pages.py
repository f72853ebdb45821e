"""Keys and values in pages: who has which, what grows, what is given back, and what is done without memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.qwen3.kernel_support import CUDA, DEVICE, WHY_NOT

if WHY_NOT:
    pytest.skip(WHY_NOT, allow_module_level=True)

from engine.qwen3.batch.sentence import End
from engine.qwen3.cuda import graph_runner
from engine.qwen3.kernels.pages import gather, scatter
from engine.qwen3.model.paged_kv import GROWN_PAGES, PAGE, PagedKv
from tests.engine.qwen3.kernels.test_kernels import tiny_model
from tests.support.qwen3.plain_gpu import a_sentence, fast, plain, play

POSITIONS = 5 * PAGE - 20


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


def pages(slots: int = 2) -> PagedKv:
    return PagedKv(tiny_model(64, False).talker.stack, slots + 1, POSITIONS)


def prefix(kv: PagedKv, positions: int) -> torch.Tensor:
    layers, two, _, heads, _, dim = kv._shape
    return torch.randn(layers, two, heads, positions, dim, device=DEVICE)


def test_slots_take_pages_as_they_grow_and_give_them_back() -> None:
    kv = pages()
    first = kv.pages
    assert not kv.holds(0, 1)
    assert kv.hold(0, 1)
    assert kv.holds(0, PAGE)
    assert not kv.holds(0, PAGE + 1)
    assert kv.hold(0, PAGE)
    assert len(set(kv.table[0].tolist())) == 2, "one page, and everywhere else the scratch page"
    assert kv.hold(0, POSITIONS)
    assert kv.pages == first
    assert kv.hold(1, POSITIONS)
    assert kv.pages == first + GROWN_PAGES
    held = kv.table[:2].flatten().tolist()
    assert len(set(held)) == 10, "no two slots share a page"
    assert not set(held) & set(kv.table[2].tolist()), "and none has the scratch slot's"
    kv.release(1)
    kv.release(1)
    assert not kv.holds(1, 1)
    kv.shrink()
    assert kv.pages == first
    assert kv.hold(1, 1)
    assert set(kv.table[1, 1:].tolist()) == set(kv.table[2].tolist()), "nothing is left of what it had"


def test_memory_in_which_a_slot_holds_a_page_stays() -> None:
    kv = pages()
    assert kv.hold(0, POSITIONS)
    assert kv.hold(1, POSITIONS)
    content = prefix(kv, POSITIONS)
    kv.write(1, content)
    kv.release(0)
    assert not kv.shrink()
    assert torch.equal(kv.read(1, POSITIONS), content)
    kv.release(1)
    assert kv.shrink()
    assert kv.hold(1, POSITIONS)
    kv.write(1, content[:, :, :, :70])
    assert torch.equal(kv.read(1, 70), content[:, :, :, :70])


def test_pages_are_copied_to_a_tensor_without_gaps_and_back() -> None:
    """Also a page that lies in memory of its own."""
    kv = pages()
    for slot in (0, 1):
        assert kv.hold(slot, POSITIONS)
        kv.write(slot, prefix(kv, POSITIONS))
    layers, _, _, heads, _, dim = kv._shape
    content, others = prefix(kv, POSITIONS), kv.read(0, POSITIONS)
    kv.write(1, content)
    slot, start, length = torch.tensor([1], device=DEVICE), torch.tensor([60], device=DEVICE), 3 * PAGE
    for number in range(layers):
        dense = torch.full((2, heads, length, dim), float("nan"), device=DEVICE)
        gather(kv.layer(number), kv.table, slot, dense)
        assert torch.equal(dense, content[number, :, :, :length])
        dense.normal_()
        scatter(kv.layer(number), kv.table, slot, start, dense, 16)
        content[number, :, :, 60:76] = dense[:, :, 60:76]
        scatter(kv.layer(number), kv.table, slot, start + 120, dense, 16)
        content[number, :, :, 180:192] = dense[:, :, 180:192]
    assert torch.equal(kv.read(1, POSITIONS), content)
    assert torch.equal(kv.read(0, POSITIONS), others)


def no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(PagedKv, "_add", full)


def test_where_there_is_no_memory_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    kv = pages()
    no_more_memory(monkeypatch)
    assert kv.hold(0, PAGE)
    assert kv.hold(1, POSITIONS)
    assert not kv.hold(0, POSITIONS)
    kv.release(0)
    assert kv.hold(0, 2 * PAGE)


@pytest.mark.skipif(CUDA, reason="a captured frame cannot be made to draw no end")
def test_a_sentence_without_memory_is_cut_and_its_neighbour_sounds_as_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runner = fast(monkeypatch, tmp_path, 3)
    slots: Any = runner._slots
    no_more_memory(monkeypatch)
    hold = slots.hold
    monkeypatch.setattr(slots, "hold", lambda slot, positions: not (slot and positions > 20) and hold(slot, positions))
    alone = plain(1)
    for each in (alone, runner):
        each._slots.model.allowed[each._slots.model.eos] = False
    expected, _ = play(alone, {0: [a_sentence(0)]}, {0: 40})
    sound, ends = play(runner, {0: [a_sentence(0), a_sentence(1)]}, {0: 40, 1: 40})
    assert ends == {0: End.BUDGET, 1: End.BUDGET}
    assert np.abs(sound[0] - expected[0]).max() < 1e-5
    assert 0 < len(sound[1]) < len(sound[0])
    assert runner.active == 0


@pytest.mark.skipif(CUDA, reason="plain PyTorch in the place of the GPU")
def test_a_prompt_without_memory_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path, 2)
    slots: Any = runner._slots
    with monkeypatch.context() as patch:
        patch.setattr(slots.pages, "hold", lambda slot, positions: False)
        assert not runner.admit(a_sentence(0))
    assert slots.free == 2
    assert runner.admit(a_sentence(0))


@pytest.mark.skipif(CUDA, reason="plain PyTorch in the place of the GPU")
def test_memory_is_given_back_once_after_a_quiet_while(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [0.0]
    runner = fast(monkeypatch, tmp_path, 2)
    runner._clock = lambda: now[0]
    given: list[float] = []
    monkeypatch.setattr(runner._slots, "shrink", lambda: given.append(now[0]))
    sentence = a_sentence(0)
    assert runner.admit(sentence)
    for now[0] in (0.0, 60.0):
        runner.step()
    runner.remove(sentence)
    for now[0] in (61.0, 62.0, 61.0 + graph_runner.SHRINK_AFTER_S, 75.0, 90.0):
        runner.step()
    assert given == [75.0]
