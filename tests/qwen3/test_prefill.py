"""Prompts worked off in pieces: what they leave behind is what one pass leaves, and nobody who speaks waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.qwen3.kernel_support import CUDA, WHY_NOT, error

if WHY_NOT or CUDA:
    pytest.skip(WHY_NOT or "plain PyTorch in the place of the GPU", allow_module_level=True)

from engine.qwen3 import prefill as prefills
from engine.qwen3 import talker
from engine.qwen3.choices import Choices
from engine.qwen3.fast_slots import FastSlots
from engine.qwen3.graph_runner import GraphRunner
from engine.qwen3.kernels.frame import TILES, VENDOR, How, Scratch, Variant
from engine.qwen3.kernels.prefill import prefill
from engine.qwen3.layers import KvCache
from engine.qwen3.prefill import HEARD_A_STEP, PREFILL_POSITIONS
from engine.qwen3.prompt import Prompt
from engine.qwen3.random_codec import CodecSize, random_codec
from engine.qwen3.runner import EagerRunner, End, Utterance
from engine.qwen3.slots import Sampling, Slots
from engine.qwen3.state import DecodeState
from tests.qwen3.plain_gpu import pretend
from tests.qwen3.test_kernels import tiny_model

CODEC = CodecSize(
    codebook=32, latent=32, hidden=32, intermediate=32, heads=1, head_dim=32, layers=1, decoder=32, rates=(2,),
    upsample=(2,), window=5, codes=64,
)  # fmt: skip
POSITIONS, TEXT, KEPT_BYTES = 96, 16, 10**8


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("variant", [VENDOR, TILES], ids=["vendor", "tiles"])
def test_a_prompt_in_padded_pieces_leaves_what_one_pass_leaves(variant: Variant) -> None:
    model = tiny_model(64, False)
    embeds, slot = torch.randn(21, 64), 1
    whole = KvCache.allocate(model.talker.stack, 3, 32)
    talker.prefill(model.talker, embeds[None], torch.arange(21)[None], whole, torch.tensor([slot]), 32)
    state = DecodeState.allocate(model.talker, model.predictor, 2, 32, 8)
    others = state.talker_kv.kv[:, :, [0, 2]].normal_()
    state.talker_kv.kv[:, :, [0, 2]] = others
    scratch = Scratch.allocate(model, 16)
    for start in (0, 16):
        piece = torch.full((16, 64), 7.0)
        given = embeds[start : start + 16]
        piece[: len(given)] = given
        prefill(model, state, torch.tensor([slot]), torch.tensor([start]), piece, 32, scratch, How(variant, False))
    assert error(state.talker_kv.kv[:, :, slot, :, :21], whole.kv[:, :, slot, :, :21].double()) < 1e-5
    assert torch.equal(state.talker_kv.kv[:, :, [0, 2]], others), "another call's"


def fast(monkeypatch: pytest.MonkeyPatch, folder: Path, slots: int = 4) -> GraphRunner:
    streams = pretend(monkeypatch)
    codec = random_codec("cpu", torch.float32, CODEC)
    places = FastSlots(tiny_model(64, False), codec, slots, POSITIONS, TEXT, KEPT_BYTES, streams, torch.float32)
    return GraphRunner(places, Choices("test", folder), graphs=False, pin=False, rest=lambda _: None)


def plain(slots: int = 4) -> EagerRunner:
    codec = random_codec("cpu", torch.float32, CODEC)
    return EagerRunner(Slots(tiny_model(64, False), codec, slots, POSITIONS, TEXT, KEPT_BYTES))


def utterance(number: int, voice: int = 0, reference: int = 0) -> Utterance:
    """reference: frames of the recording; in context its words, then ours, run beside them."""
    generator = torch.Generator().manual_seed(voice)
    constant = torch.randn(9 + reference // 3, 64, generator=generator)
    codes = torch.randint(0, 64, (reference, 16), generator=generator) if reference else None
    generator.manual_seed(100 + number)
    rest = torch.randn(1 + reference - reference // 3, 64, generator=generator)
    text = torch.randn(5, 64, generator=generator)
    prompt = Prompt(torch.cat((constant, rest)), len(constant), (voice, reference), text, codes)
    return Utterance(number, prompt, Sampling(seed=number * 77), 1)


def play(runner: Any, joins: dict[int, list[Utterance]], budgets: dict[int, int]) -> tuple[Any, Any]:
    sound: dict[int, list[Any]] = {}
    ends: dict[int, End] = {}
    turn = 0
    while runner.active or any(at >= turn for at in joins):
        for each in joins.get(turn, []):
            assert runner.admit(each)
            each.budget = budgets[each.number]
        for made in runner.step():
            sound.setdefault(made.utterance.number, []).append(made.pcm)
            if made.end is not None:
                assert made.utterance.number not in ends
                ends[made.utterance.number] = made.end
        turn += 1
    return {number: np.concatenate(parts) for number, parts in sound.items()}, ends


def test_cloned_voices_sound_as_from_the_plain_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Long and short recordings, new and kept, side by side and in slots that others had."""
    results = []
    for runner in (plain(3), fast(monkeypatch, tmp_path, 3)):
        joins = {
            0: [utterance(0), utterance(1, 1, reference=33)],
            3: [utterance(2, 2, reference=71)],
            40: [utterance(3, 1, reference=33), utterance(4), utterance(5, 2, reference=71)],
        }
        results.append(play(runner, joins, {0: 13, 1: 20, 2: 7, 3: 20, 4: 5, 5: 9}))
    (expected, ends), (sound, fast_ends) = results
    assert fast_ends == ends
    for number, pcm in expected.items():
        assert sound[number].shape == pcm.shape
        assert np.abs(sound[number] - pcm).max() < 1e-5


def test_a_long_recording_holds_up_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path)
    read: list[int] = []
    run = prefills.PrefillGraphs.run

    def watched(self: Any, slot: int, start: int, embeds: torch.Tensor) -> None:
        read.append(len(embeds))
        run(self, slot, start, embeds)

    monkeypatch.setattr(prefills.PrefillGraphs, "run", watched)
    speaking, cloned = utterance(0), utterance(1, 1, reference=71)
    assert runner.admit(speaking)
    speaking.budget = 60
    runner.step()
    read.clear()
    codec: Any = runner.sound.codec
    assert runner.admit(cloned)
    cloned.budget = 10
    steps = 0
    while cloned.frames == 0:
        frames, decoded, pieces = speaking.frames, len(codec.chunks), len(read)
        runner.step()
        steps += 1
        # Until the new one has its first, which comes before all else.
        assert speaking.frames == frames + 1 or cloned.frames
        assert len(read) - pieces <= 1
        assert len(codec.chunks) - decoded <= HEARD_A_STEP + 2  # a piece of each one's own sound
    assert read == [64, 16]
    assert max(read) <= PREFILL_POSITIONS[-1]
    assert 3 <= steps <= 5


def test_a_clone_that_leaves_before_it_is_ready_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path, 1)
    gone = utterance(0, 1, reference=71)
    assert runner.admit(gone)
    runner.step()
    runner.remove(gone)
    assert runner.active == 0
    heard, _ = play(runner, {0: [utterance(1, 1, reference=71)]}, {1: 9})
    expected, _ = play(plain(1), {0: [utterance(1, 1, reference=71)]}, {1: 9})
    assert np.abs(heard[1] - expected[1]).max() < 1e-5


def test_text_that_comes_while_the_prompt_is_worked_off_begins_nothing_early(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runner = fast(monkeypatch, tmp_path, 1)
    growing = utterance(0, 1, reference=71)
    growing.final = False
    assert runner.admit(growing)
    runner.step()
    runner.extend(growing, torch.randn(2, 64), final=True)
    assert growing.frames == 0
    runner.step()
    assert growing.frames == 0
    while growing.frames == 0:
        runner.step()
    assert growing.text_length == 7
