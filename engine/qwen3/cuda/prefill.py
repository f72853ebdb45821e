"""A new call's prompt, worked off piece by piece between the frames of those that speak already.

A named voice's prompt is there at once from what was kept of it. A voice cloned in context brings a hundred positions
and as many frames that the codec has to have heard: no step does more of them than fits between two frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.cuda.graphs import SOUND_FRAMES, Capture, Replay, SoundGraphs, Uploads, bucket_of
from engine.qwen3.kernels import pdl
from engine.qwen3.kernels.frame import How, Scratch, candidates, is_plain
from engine.qwen3.kernels.prefill import prefill
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.state import DecodeState

PREFILL_POSITIONS: Final = (16, 64)
"""A prompt's positions that go together: a named voice's nine, and what one step does of a longer prompt."""
KV_LENGTHS: Final = (256,)
"""Positions that attention looks at, where that is enough; else all there are."""
PREPARED_OF: Final = 4
"""One more prompt a step has its share for each so many that wait: a queue of them must not grow for ever."""
HEARD_A_STEP: Final = 4
"""Pieces of a recording that the codec hears in one step, each of eight frames at most."""


class PrefillGraphs:
    """One graph for each number of positions and each length looked at."""

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
        """As FrameGraphs has it."""
        for size in PREFILL_POSITIONS:
            self._work(size, self._most)

    def build(self) -> None:
        """Captures."""
        for size in reversed(PREFILL_POSITIONS):
            for length in reversed(self._lengths):
                work = partial(self._work, size, length)
                self._replays[size, length] = self._capture(f"{size} positions of a prompt", work)

    def run(self, slot: int, start: int, embeds: Tensor) -> None:
        """Positions `start`… of a slot, on the current stream. embeds [N, hidden], N at most PREFILL_POSITIONS[-1]."""
        size = bucket_of(PREFILL_POSITIONS, len(embeds))
        length = bucket_of(self._lengths, min(start + size, self._most))
        self._uploads.send([slot, start], self._place)
        self._embeds[: len(embeds)].copy_(embeds)
        self._replays[size, length]()

    def _work(self, size: int, length: int) -> None:
        slot, start, how = self._place[:1], self._place[1:], self._how[size]
        prefill(self._model, self._state, slot, start, self._embeds[:size], length, self._scratch, how)


@dataclass(eq=False, slots=True)
class Preparation:
    """How far a call's slot is."""

    slot: int
    prompt: Prompt
    begun: bool = False
    keep: bool = False
    """Its constant part is new, and will be wanted again."""
    position: int = 0
    """Positions whose keys and values are there."""
    heard: int = 0
    """Frames of the recording that the codec has heard."""

    @property
    def last(self) -> int:
        """The position that speaks first."""
        return len(self.prompt.embeds) - 1

    @property
    def unheard(self) -> int:
        codes = self.prompt.reference_codes
        return 0 if codes is None else len(codes) - self.heard

    @property
    def done(self) -> bool:
        return self.begun and self.position >= self.last and not self.unheard

    def next_positions(self) -> Tensor:
        """What the talker reads next of the prompt, [N, hidden]."""
        return self.prompt.embeds[self.position : min(self.last, self.position + PREFILL_POSITIONS[-1])]

    def next_codes(self) -> Tensor:
        """What the codec hears next, [T, 16]: a size that there is a graph for, since padding would be heard too."""
        assert self.prompt.reference_codes is not None
        size = max(frames for frames in SOUND_FRAMES if frames <= self.unheard)
        return self.prompt.reference_codes[self.heard : self.heard + size]


def hear(sound: SoundGraphs, preparation: Preparation) -> None:
    """One step's share of the recording, on the current stream."""
    for _ in range(HEARD_A_STEP):
        if preparation.unheard:
            codes = preparation.next_codes()
            sound.hear(preparation.slot, codes)
            preparation.heard += len(codes)


def read_prompt(graphs: PrefillGraphs, preparation: Preparation) -> None:
    """One step's share of the prompt, on the current stream."""
    embeds = preparation.next_positions()
    if len(embeds):
        graphs.run(preparation.slot, preparation.position, embeds)
        preparation.position += len(embeds)
