"""Prompts worked off in pieces: what they leave behind is what one pass leaves, and nobody who speaks waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.qwen3.kernel_support import CUDA, WHY_NOT, error

if WHY_NOT or CUDA:
    pytest.skip(WHY_NOT or "plain PyTorch in the place of the GPU", allow_module_level=True)

from engine.qwen3.cuda import prefill as prefills
from engine.qwen3.cuda.prefill import PREFILL_POSITIONS
from engine.qwen3.cuda.preparation import HEARD_A_STEP
from engine.qwen3.kernels.frame import How, Scratch
from engine.qwen3.kernels.prefill import prefill
from engine.qwen3.kernels.variants import SLICES, VENDOR, Variant
from engine.qwen3.model import talker
from engine.qwen3.model.layers import KvCache
from engine.qwen3.model.paged_kv import PagedKv
from engine.qwen3.model.state import DecodeState
from tests.engine.qwen3.kernels.test_kernels import tiny_model
from tests.support.qwen3.plain_gpu import a_sentence, fast


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("variant", [VENDOR, SLICES], ids=["vendor", "slices"])
@pytest.mark.parametrize("paged", [False, True], ids=["without gaps", "paged"])
def test_a_prompt_in_padded_pieces_leaves_what_one_pass_leaves(variant: Variant, paged: bool) -> None:
    model = tiny_model(64, False)
    embeds, slot = torch.randn(21, 64), 1
    whole = KvCache.allocate(model.talker.stack, 3, 32)
    talker.prefill(model.talker, embeds[None], torch.arange(21)[None], whole, torch.tensor([slot]), 32)
    state = DecodeState.allocate(model.talker, model.predictor, 2, 32, 8, paged)
    kv = state.talker_kv
    if isinstance(kv, PagedKv):
        assert all(kv.hold(each, 21) for each in (0, 1))
    others = torch.randn(*kv.read(0, 21).shape)
    kv.write(0, others)
    scratch = Scratch.allocate(model, 16)
    for start in (0, 16):
        piece = torch.full((16, 64), 7.0)
        given = embeds[start : start + 16]
        piece[: len(given)] = given
        prefill(model, state, torch.tensor([slot]), torch.tensor([start]), piece, 32, scratch, How(variant, False))
    assert error(kv.read(slot, 21), whole.read(slot, 21).double()) < 1e-5
    assert torch.equal(kv.read(0, 21), others), "another call's"


def test_a_long_recording_holds_up_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path)
    read: list[int] = []
    run = prefills.PrefillGraphs.run

    def watched(self: Any, slot: int, start: int, embeds: torch.Tensor) -> None:
        read.append(len(embeds))
        run(self, slot, start, embeds)

    monkeypatch.setattr(prefills.PrefillGraphs, "run", watched)
    speaking, cloned = a_sentence(0), a_sentence(1, 1, reference=71)
    assert runner.admit(speaking)
    speaking.budget = 60
    runner.step()
    read.clear()
    codec: Any = runner.sound.codec
    assert runner.admit(cloned)
    cloned.budget = 10
    steps = 0
    while cloned.made == 0:
        frames, decoded, pieces = speaking.made, len(codec.chunks), len(read)
        runner.step()
        steps += 1
        # Until the new one has its first, which comes before all else.
        assert speaking.made == frames + 1 or cloned.made
        assert len(read) - pieces <= 1
        assert len(codec.chunks) - decoded <= HEARD_A_STEP + 2  # a piece of each one's own sound
    assert read == [64, 16]
    assert max(read) <= PREFILL_POSITIONS[-1]
    assert 3 <= steps <= 5


def test_the_more_prompts_wait_the_more_a_step_takes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path, 9)
    clones = [a_sentence(number, number, reference=30) for number in range(9)]
    for each in clones:
        assert runner.admit(each)
        each.budget = 3
    ready = []
    for _ in range(5):
        runner.step()
        ready.append(9 - len(runner._preparing))
    # 1 + 9 // 4 in the first step, 1 + 6 // 4 in the second …; each prompt of 40 positions is one piece, and its 30
    # frames are four pieces and one more of two.
    assert ready == [0, 3, 3, 5, 5]
