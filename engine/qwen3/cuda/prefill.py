"""CUDA graphs that read a prompt, some positions at a time."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.cuda.graphs import Capture, Replay, Uploads, bucket_of
from engine.qwen3.kernels import pdl
from engine.qwen3.kernels.frame import How, Scratch, is_plain
from engine.qwen3.kernels.prefill import prefill
from engine.qwen3.kernels.variants import candidates
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.state import DecodeState

PREFILL_POSITIONS: Final = (16, 64)
"""The positions that are read at once: for a named voice's nine, and for a step's share of a longer prompt."""
KV_LENGTHS: Final = (256,)
"""The positions that attention looks at, where that is enough; else it looks at all there are."""


class PrefillGraphs:
    """One graph for each number of positions and each length that attention looks at."""

    def __init__(self, model: FrameModel, state: DecodeState, scratch: Scratch, capture: Capture) -> None:
        device = state.x.device
        self._most = state.talker_kv.max_positions
        self._lengths = (*(length for length in KV_LENGTHS if length < self._most), self._most)
        self._embeds = torch.zeros(PREFILL_POSITIONS[-1], state.x.shape[1], dtype=state.x.dtype, device=device)
        self._place = torch.tensor([state.scratch, 0], device=device)
        self._uploads = Uploads(2)
        self._capture, self._replays = capture, dict[tuple[int, int], Replay]()
        self._how = {
            size: How(candidates(size, is_plain(model))[0], pdl.supported(device.index)) for size in PREFILL_POSITIONS
        }
        self._model, self._state, self._scratch = model, state, scratch

    def launch(self) -> None:
        """Launches once all that may be captured, as `FrameGraphs.launch` does."""
        for size in PREFILL_POSITIONS:
            self._work(size, self._most)

    def build(self) -> None:
        """Captures the graphs."""
        for size in reversed(PREFILL_POSITIONS):
            for length in reversed(self._lengths):
                work = partial(self._work, size, length)
                self._replays[size, length] = self._capture(f"{size} positions of a prompt", work)

    def run(self, slot: int, start: int, embeds: Tensor) -> None:
        """Reads positions `start`… of a slot, on the current stream. embeds [N, hidden], N <= PREFILL_POSITIONS[-1]."""
        size = bucket_of(PREFILL_POSITIONS, len(embeds))
        length = bucket_of(self._lengths, min(start + size, self._most))
        self._uploads.send([slot, start], self._place)
        self._embeds[: len(embeds)].copy_(embeds)
        self._replays[size, length]()

    def _work(self, size: int, length: int) -> None:
        slot, start, how = self._place[:1], self._place[1:], self._how[size]
        prefill(self._model, self._state, slot, start, self._embeds[:size], length, self._scratch, how)
