"""The fast runner on a GPU: frames and sound of the plain one, whatever joins and leaves; cancel, capture failing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.qwen3.kernel_support import CUDA, NEEDS_GPU, WHY_NOT

if WHY_NOT or not CUDA:
    pytest.skip(WHY_NOT or NEEDS_GPU, allow_module_level=True)

from engine.qwen3 import graphs
from engine.qwen3.choices import Choices
from engine.qwen3.fast_slots import FastSlots
from engine.qwen3.graph_runner import GraphRunner
from engine.qwen3.memory import Streams
from engine.qwen3.prompt import Prompt
from engine.qwen3.random_codec import CodecSize, random_codec
from engine.qwen3.runner import EagerRunner, End, Utterance
from engine.qwen3.slots import Sampling, Slots
from tests.qwen3.test_kernels import tiny_model

CODEC = CodecSize(
    codebook=64, latent=64, hidden=64, intermediate=96, heads=2, head_dim=32, layers=1, decoder=64, rates=(2,)
)


@pytest.fixture(scope="module", autouse=True)
def _exact() -> Any:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        yield


def fast(folder: Path, slots: int = 4, **how: Any) -> GraphRunner:
    codec = random_codec("cuda", torch.float32, CODEC)
    streams = Streams.make(torch.device("cuda"))
    places = FastSlots(tiny_model(64, False), codec, slots, 96, 16, 10**8, streams, torch.float32)
    return GraphRunner(places, Choices("test", folder), **how)


def utterance(number: int, reference: int = 0) -> Utterance:
    """reference: frames of the recording that the voice is cloned from, in context."""
    generator = torch.Generator("cuda").manual_seed(number)
    embeds = torch.randn(10 + reference, 64, generator=generator, device="cuda")
    text = torch.randn(5, 64, generator=generator, device="cuda")
    codes = torch.randint(0, 64, (reference, 16), generator=generator, device="cuda") if reference else None
    prompt = Prompt(embeds, 9 + reference // 3, (number, reference), text, codes)
    return Utterance(number, prompt, Sampling(seed=number * 77), 1)


def play(
    runner: Any, joins: dict[int, list[Utterance]], budgets: dict[int, int]
) -> tuple[dict[int, Any], dict[int, End]]:
    sound: dict[int, list[Any]] = {}
    ends: dict[int, End] = {}
    turn = 0
    while runner.active or any(at >= turn for at in joins):
        for each in joins.get(turn, []):
            assert runner.admit(each)
            each.budget = budgets.get(each.number, 30)
        for made in runner.step():
            sound.setdefault(made.utterance.number, []).append(made.pcm)
            if made.end is not None:
                assert made.utterance.number not in ends
                ends[made.utterance.number] = made.end
        turn += 1
    return {number: np.concatenate(parts) for number, parts in sound.items()}, ends


def test_the_same_sound_as_the_plain_runner(tmp_path: Path) -> None:
    runner = fast(tmp_path)
    assert runner.warnings == []
    assert runner.graphs > 0
    plain = EagerRunner(Slots(tiny_model(64, False), random_codec("cuda", torch.float32, CODEC), 4, 96, 16, 10**8))
    results = []
    for each in (plain, runner):
        joins = {
            0: [utterance(0), utterance(1, reference=11)],
            3: [utterance(2)],
            20: [utterance(3, reference=71)],
            60: [utterance(1, reference=11), utterance(3, reference=71)],  # from what was kept of them
        }
        for again in joins[60]:
            again.number += 10
        results.append(play(each, joins, {0: 13, 1: 40, 2: 7, 3: 9, 11: 6, 13: 5}))
    (sound, ends), (fast_sound, fast_ends) = results
    assert ends == fast_ends
    for number, pcm in sound.items():
        assert fast_sound[number].shape == pcm.shape
        assert np.abs(fast_sound[number] - pcm).max() < 1e-4


def test_a_removed_call_frees_its_place_and_is_heard_no_more(tmp_path: Path) -> None:
    runner = fast(tmp_path, slots=1)
    first, second = utterance(0), utterance(1)
    assert runner.admit(first)
    assert not runner.admit(second)
    for _ in range(3):
        runner.step()
    runner.remove(first)
    runner.remove(first)
    assert runner.active == 0
    heard, _ = play(runner, {0: [second]}, {1: 9})
    alone, _ = play(fast(tmp_path, slots=1), {0: [utterance(1)]}, {1: 9})
    assert set(heard) == {1}
    assert np.array_equal(heard[1], alone[1])


def test_what_cannot_be_captured_is_launched_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def capture_begin(self, **_: Any) -> None:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graphs.torch.cuda, "CUDAGraph", Refusing)
    runner = fast(tmp_path)
    monkeypatch.undo()
    assert any("operation not permitted" in warning for warning in runner.warnings)
    assert runner.graphs == 0
    heard, ends = play(runner, {0: [utterance(0)]}, {0: 13})
    captured, _ = play(fast(tmp_path), {0: [utterance(0)]}, {0: 13})
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
    first = fast(tmp_path)
    tried: list[str] = []
    capture = graphs.Capture.__call__
    monkeypatch.setattr(
        graphs.Capture, "__call__", lambda self, name, work: (tried.append(name), capture(self, name, work))[1]
    )
    second = fast(tmp_path)
    assert [name for name in tried if name.startswith("frame")] == [f"frame of {size}" for size in (4, 2, 1)]
    assert second.frames.variants == first.frames.variants
