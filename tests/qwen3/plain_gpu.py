"""The fast runner on a CPU: its streams are one, its graphs are launches, its kernels plain PyTorch.

What is left is all that the runner itself does: who is in which slot and which buffer, in what order.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.qwen3 import fast_slots, graphs, talker
from engine.qwen3 import prefill as prefills
from engine.qwen3.codec import CodecState, CodecWeights, decode
from engine.qwen3.frame import decode_frame
from engine.qwen3.memory import Streams


class _Queue:
    """A stream and an event: everything is done at once."""

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


class PlainCodec:
    """`FastCodec` over engine.qwen3.codec."""

    def __init__(self, weights: CodecWeights, slots: int, max_rows: int, dtype: Any = None) -> None:
        self._weights, self._kept = weights, CodecState.allocate(weights, slots)
        self.position, self.state = self._kept.position, self._kept.kv
        self.device, self.max_rows, self.samples_per_frame = "cpu", max_rows, weights.samples_per_frame
        self.reset, self.read, self.write = self._kept.reset, self._kept.read, self._kept.write
        self.chunks: list[tuple[int, ...]] = []
        """Frames that each decode made, for one call alone or many."""

    def rows_for(self, frames: int) -> int:
        return self.max_rows

    def decode(self, slots: Tensor, codes: Tensor, pcm: Tensor) -> None:
        self.chunks.append(tuple(codes.shape[:2]))
        codes = codes.clamp(max=self._weights.codebooks.shape[1] - 1)
        pcm.copy_(decode(self._weights, self._kept, slots, codes))
        self._kept.position[-1] = 0


def _frame(model: Any, state: Any, slots: Tensor, codes: Tensor, scratch: Any, history: Tensor, how: Any) -> None:
    frame = state.frame[slots]
    decode_frame(model, state, slots, state.talker_kv.max_positions, codes)
    history[slots, frame % history.shape[1]] = codes


def _prefill(
    model: Any, state: Any, slot: Tensor, start: Tensor, embeds: Tensor, length: int, scratch: Any, how: Any
) -> None:
    positions = (start + torch.arange(len(embeds))).clamp(max=length - 1)[None]
    talker.prefill(model.talker, embeds[None], positions, state.talker_kv, slot, length)


def _recall(history: Tensor, slot: Tensor, first: Tensor, out: Tensor) -> None:
    frames = (first[:, None] + torch.arange(out.shape[1])) % history.shape[1]
    out.copy_(history[slot[:, None], frames])


def pretend(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Puts plain PyTorch in the place of the GPU; give the runner graphs=False."""
    monkeypatch.setattr(torch.cuda, "Stream", _Queue)
    monkeypatch.setattr(torch.cuda, "Event", _Queue)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: _Queue())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    monkeypatch.setattr(graphs, "measure", lambda _: 0.001)
    monkeypatch.setattr(graphs, "decode_frame", _frame)
    monkeypatch.setattr(graphs.sample, "recall", _recall)
    monkeypatch.setattr(prefills, "prefill", _prefill)
    monkeypatch.setattr(fast_slots, "FastCodec", PlainCodec)
    return Streams(*(torch.cuda.Stream() for _ in range(3)))
