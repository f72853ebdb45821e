"""The fast runner, also without a GPU: its streams are one then, its graphs are launches, its kernels plain PyTorch.

What is left is all that the runner itself does: who is in which slot and which buffer, in what order.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.qwen3.batch import eager_runner
from engine.qwen3.batch.eager_runner import EagerRunner
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.batch.slots import Slots
from engine.qwen3.cuda import fast_slots, graphs, sound_graphs
from engine.qwen3.cuda import prefill as prefills
from engine.qwen3.cuda.fast_slots import FastSlots
from engine.qwen3.cuda.graph_runner import GraphRunner
from engine.qwen3.cuda.pinned import Streams
from engine.qwen3.cuda.tuning import Tuning
from engine.qwen3.messages import Speak
from engine.qwen3.model import narrowband, talker
from engine.qwen3.model.codec import CodecState, decode
from engine.qwen3.model.codec_weights import CodecWeights
from engine.qwen3.model.frame import decode_frame
from engine.qwen3.model.layers import KvCache
from engine.qwen3.model.paged_kv import PAGE, PagedKv
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling
from tests.engine.qwen3.kernels.test_kernels import tiny_model
from tests.support.qwen3.kernel_support import CUDA, DEVICE
from tests.support.qwen3.random_codec import CodecSize, random_codec

CODEC = CodecSize(
    codebook=64, latent=64, hidden=64, intermediate=96, heads=2, head_dim=32, layers=1, decoder=64, rates=(60,)
)
POSITIONS, TEXT, KEPT_BYTES = 96, 16, 10**8


class _Queue:
    """A stream and an event in one: everything is done at once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait_stream(self, _: Any) -> None:
        pass

    def wait_event(self, _: Any) -> None:
        pass

    def record(self, *_: Any) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return True

    def elapsed_time(self, _: Any) -> float:
        return 0.0


class PlainCodec:
    """`FastCodec` over engine.qwen3.model.codec."""

    def __init__(self, weights: CodecWeights, slots: int, max_rows: int, dtype: Any = None, device: Any = None) -> None:
        self._weights, self._kept = weights, CodecState.allocate(weights, slots)
        self.position, self.state = self._kept.position, self._kept.kv
        self.device, self.max_rows, self.samples_per_frame = "cpu", max_rows, weights.samples_per_frame
        self.reset, self.read, self.write = self._kept.reset, self._kept.read, self._kept.write
        self.chunks: list[tuple[int, ...]] = []
        """The frames that each decode made, for one call alone or many."""

    def rows_for(self, frames: int) -> int:
        return self.max_rows

    def decode(self, slots: Tensor, codes: Tensor, pcm: Tensor) -> None:
        self.chunks.append(tuple(codes.shape[:2]))
        codes = codes.clamp(max=self._weights.codebooks.shape[1] - 1)
        pcm.copy_(narrowband.to_pcm(decode(self._weights, self._kept, slots, codes)))
        self._kept.position[-1] = 0


def without_gaps(pages: PagedKv) -> KvCache:
    """Returns all slots' keys and values as the plain layers take them."""
    layers, _, _, kv_heads, _, dim = pages._shape
    kv = torch.zeros(layers, 2, len(pages.table), kv_heads, pages.max_positions, dim)
    for slot, held in pages._held.items():
        for number, page in enumerate(held):
            room = kv[:, :, slot, :, number * PAGE : (number + 1) * PAGE]
            room.copy_(page.kv[:, :, :, : room.shape[3]])
    return KvCache(kv)


def into_pages(dense: KvCache, pages: PagedKv) -> None:
    for slot, held in pages._held.items():
        pages.write(slot, dense.kv[:, :, slot, :, : len(held) * PAGE])


def _frame(model: Any, state: Any, slots: Tensor, codes: Tensor, scratch: Any, history: Tensor, how: Any) -> None:
    frame, dense = state.frame[slots], without_gaps(state.talker_kv)
    decode_frame(model, replace(state, talker_kv=dense), slots, dense.max_positions, codes)
    into_pages(dense, state.talker_kv)
    history[slots, frame % history.shape[1]] = codes


def _prefill(
    model: Any, state: Any, slot: Tensor, start: Tensor, embeds: Tensor, length: int, scratch: Any, how: Any
) -> None:
    positions = (start + torch.arange(len(embeds))).clamp(max=length - 1)[None]
    dense = without_gaps(state.talker_kv)
    talker.prefill(model.talker, embeds[None], positions, dense, slot, length)
    into_pages(dense, state.talker_kv)


def _recall(history: Tensor, slot: Tensor, first: Tensor, out: Tensor) -> None:
    frames = (first[:, None] + torch.arange(out.shape[1])) % history.shape[1]
    out.copy_(history[slot[:, None], frames])


def _narrow(before: Tensor, slots: Tensor, first: Tensor, pcm: Tensor, taps: Tensor, out: Tensor) -> None:
    out.copy_(narrowband.narrow(before.clone(), slots, first, pcm, out.shape[1]))


def _level(before: Tensor, slots: Tensor, pcm: Tensor, out: Tensor) -> None:
    out.copy_(narrowband.levels(pcm))
    before[slots] = pcm[:, -narrowband.REACH :]


def pretend(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Puts plain PyTorch in the place of the GPU; give the runner graphs=False."""
    monkeypatch.setattr(torch.cuda, "Stream", _Queue)
    monkeypatch.setattr(torch.cuda, "Event", _Queue)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: _Queue())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    for module in (graphs, sound_graphs):
        monkeypatch.setattr(module, "measure", lambda _: 0.001)
    monkeypatch.setattr(graphs, "decode_frame", _frame)
    monkeypatch.setattr(sound_graphs.sample, "recall", _recall)
    monkeypatch.setattr(sound_graphs.narrowband, "narrow", _narrow)
    monkeypatch.setattr(sound_graphs.narrowband, "level", _level)
    monkeypatch.setattr(prefills, "prefill", _prefill)
    monkeypatch.setattr(fast_slots, "FastCodec", PlainCodec)
    return Streams(*(torch.cuda.Stream() for _ in range(3)))


def fast(monkeypatch: pytest.MonkeyPatch, folder: Path, slots: int = 4) -> GraphRunner:
    """Returns the fast runner, on the real GPU where there is one."""
    streams = Streams.make(DEVICE) if CUDA else pretend(monkeypatch)
    codec = random_codec(DEVICE, torch.float32, CODEC)
    places = FastSlots(tiny_model(64, False), codec, slots, POSITIONS, TEXT, KEPT_BYTES, streams, torch.float32)
    return GraphRunner(places, Tuning("test", folder), graphs=CUDA, pin=CUDA, rest=lambda _: None)


def plain(slots: int = 4) -> EagerRunner:
    """Returns the plain runner over the same model."""
    codec = random_codec(DEVICE, torch.float32, CODEC)
    return EagerRunner(Slots(tiny_model(64, False), codec, slots, POSITIONS, TEXT, KEPT_BYTES))


def a_sentence(number: int, voice: int = 0, reference: int = 0, narrowband: bool = False) -> Sentence:
    """Returns a sentence. reference: frames of a recording in its prompt; its words, then ours, run beside them."""
    generator = torch.Generator().manual_seed(voice)
    constant = torch.randn(9 + reference // 3, 64, generator=generator)
    codes = torch.randint(0, 64, (reference, 16), generator=generator).to(DEVICE) if reference else None
    generator.manual_seed(100 + number)
    rest = torch.randn(1 + reference - reference // 3, 64, generator=generator)
    text = torch.randn(5, 64, generator=generator).to(DEVICE)
    prompt = Prompt(torch.cat((constant, rest)).to(DEVICE), len(constant), (voice, reference), text, codes)
    speak = Speak(number, "", "", narrowband=narrowband)
    return Sentence(speak).build(prompt, Sampling(seed=number * 77), 1)


def play(runner: Any, joins: dict[int, list[Sentence]], budgets: dict[int, int]) -> tuple[Any, Any]:
    sound: dict[int, list[Any]] = {}
    ends: dict[int, End] = {}
    turn = 0
    while runner.active or any(at >= turn for at in joins):
        for each in joins.get(turn, []):
            assert runner.admit(each)
            each.budget = budgets[each.number]
        for made in runner.step():
            sound.setdefault(made.sentence.number, []).append(made.pcm)
            if made.end is not None:
                assert made.sentence.number not in ends
                ends[made.sentence.number] = made.end
        turn += 1
    return {number: np.concatenate(parts) for number, parts in sound.items()}, ends


def spoil(monkeypatch: pytest.MonkeyPatch, runner: Any, slot: int, frame: int, at: int, code: int) -> None:
    """Has the model draw `code` as code number `at` of that frame of the call in `slot`. No GPU for the fast runner."""
    module, name = (graphs, "decode_frame") if isinstance(runner, GraphRunner) else (eager_runner, "decode_frame")
    decode = getattr(module, name)

    def spoilt(model: Any, state: Any, slots: Tensor, *how: Any) -> None:
        made = state.frame[slots].clone()
        decode(model, state, slots, *how)
        codes = next(each for each in how if isinstance(each, Tensor))
        codes[(slots == slot) & (made == frame), at] = code

    monkeypatch.setattr(module, name, spoilt)
