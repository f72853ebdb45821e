"""Makes the frames of every call in the batch: what a runner is, and the plain one that works everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.qwen3.batch.end_guard import EndGuard, frame_budget
from engine.qwen3.batch.slots import Slots, kv_length
from engine.qwen3.model import codec
from engine.qwen3.model.frame import decode_frame
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.state import CODE_GROUPS

CHUNK_RAMP: Final = (1, 2, 4, 8)
"""Frames of the first, second, … chunk; the last one goes on. The first sound is early, the later ones cost less."""


class End(Enum):
    """Why an utterance is over."""

    SPOKEN = "spoken"
    BUDGET = "budget"
    GUARD = "guard"
    INVALID_CODE = "invalid_code"
    """A code was drawn that may not be: nothing that follows it would be speech."""


@dataclass(eq=False, slots=True)
class Utterance:
    """One sentence on its way through the batch."""

    number: int
    prompt: Prompt
    sampling: Sampling
    text_tokens: int
    priority: int = 0
    """Lower goes first."""

    slot: int = -1
    position: int = 0
    frames: int = 0
    chunks: int = 0
    text_length: int = 0
    budget: int = 0
    waiting: list[Sequence[int]] = field(default_factory=list)
    """Codes of frames not yet decoded to sound."""
    guard: EndGuard | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """Sound of one utterance, in order; `end` with its last."""

    utterance: Utterance
    pcm: NDArray[np.float32]
    end: End | None = None


class Runner(Protocol):
    """A batch of utterances, driven by one thread."""

    def admit(self, utterance: Utterance) -> bool:
        """Takes an utterance in; False where there is no place for it now."""

    def step(self) -> Iterable[Made]:
        """Makes the next frame of each, and whatever sound is due. Those that end have left the batch."""

    def remove(self, utterance: Utterance) -> None:
        """Lets go of an utterance at once. Does nothing if it is not in the batch."""

    @property
    def active(self) -> int:
        """Utterances in the batch."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What `/health` tells of it."""


class EagerRunner:
    """First come, first served, one host sync a frame: for the CPU, and where graphs cannot be captured."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._batch: list[Utterance] = []
        self._device = slots.state.x.device

    @property
    def active(self) -> int:
        return len(self._batch)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {}

    def admit(self, utterance: Utterance) -> bool:
        if not self._slots.free:
            return False
        prompt = utterance.prompt
        utterance.slot = self._slots.take(prompt, utterance.sampling)
        utterance.position = len(prompt.embeds) - 1
        utterance.text_length = len(prompt.text)
        self._limit(utterance)
        self._batch.append(utterance)
        return True

    def step(self) -> list[Made]:
        ready = list(self._batch)
        if not ready:
            return []
        at = torch.tensor([u.slot for u in ready], device=self._device)
        codes = torch.empty(len(ready), CODE_GROUPS, dtype=torch.int64, device=self._device)
        length = kv_length(max(u.position for u in ready) + 1, self._slots.state.talker_kv.max_positions)
        decode_frame(self._slots.model, self._slots.state, at, length, codes)
        ended: dict[Utterance, End] = {}
        due: list[Utterance] = []
        drawn = codes.cpu().numpy()
        for utterance, frame, valid in zip(ready, drawn.tolist(), self._slots.model.valid(drawn), strict=True):
            utterance.position += 1
            utterance.frames += 1
            if not valid:
                ended[utterance] = End.INVALID_CODE
                utterance.waiting.clear()
            elif frame[0] == self._slots.model.eos:
                ended[utterance] = End.SPOKEN
            else:
                utterance.waiting.append(frame)
                if utterance.frames >= utterance.budget:
                    ended[utterance] = End.BUDGET
            enough = CHUNK_RAMP[min(utterance.chunks, len(CHUNK_RAMP) - 1)]
            if utterance in ended or len(utterance.waiting) >= enough:
                due.append(utterance)
        made = self._sound(due, ended)
        for each in made:
            if each.end is not None:
                self.remove(each.utterance)
        return made

    def remove(self, utterance: Utterance) -> None:
        if utterance in self._batch:
            self._batch.remove(utterance)
            self._slots.release(utterance.slot)

    def _limit(self, utterance: Utterance) -> None:
        room = self._slots.state.talker_kv.max_positions - len(utterance.prompt.embeds)
        utterance.budget = frame_budget(utterance.text_tokens, room)
        utterance.guard = EndGuard(utterance.text_length)

    def _sound(self, due: Sequence[Utterance], ended: dict[Utterance, End]) -> list[Made]:
        """Decodes what is due, calls with equally many frames together."""
        made = []
        for frames in sorted({len(u.waiting) for u in due}):
            group = [u for u in due if len(u.waiting) == frames]
            if frames == 0:  # ended right after a chunk
                made += [Made(u, np.zeros(0, np.float32), ended[u]) for u in group]
                continue
            codes = torch.tensor([u.waiting for u in group], device=self._device)
            at = torch.tensor([u.slot for u in group], device=self._device)
            sound = codec.decode(self._slots.codec, self._slots.codec_state, at, codes).float().cpu().numpy()
            for utterance, pcm in zip(group, sound, strict=True):
                end = ended.get(utterance) or (End.GUARD if self._runs_on(utterance, pcm) else None)
                utterance.waiting.clear()
                utterance.chunks += 1
                made.append(Made(utterance, pcm, end))
        return made

    def _runs_on(self, utterance: Utterance, pcm: NDArray[np.float32]) -> bool:
        guard = utterance.guard
        if guard is None:
            return False
        levels = np.sqrt(np.mean(pcm.reshape(len(utterance.waiting), -1) ** 2, axis=1))
        # Every frame is shown to the guard, also after one that would do.
        verdicts = [
            guard.over(frame[0], 20 * math.log10(max(float(level), 1e-9)))
            for frame, level in zip(utterance.waiting, levels, strict=True)
        ]
        return any(verdicts)
