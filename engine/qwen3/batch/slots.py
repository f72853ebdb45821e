"""The places of a batch: who has which, how a new call is put into one, what is kept of the prompts that come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.model import codec, talker
from engine.qwen3.model.codec import MAX_CHUNK_FRAMES, CodecState, CodecWeights
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.state import DecodeState

KV_STEP: Final = 64
"""Attention looks at a whole number of these positions, so that few shapes occur."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a prompt's constant part leaves behind."""

    kv: Tensor  # [layers, 2, kv_heads, positions, head_dim]
    codec: CodecState | None  # after the reference's codes, for in-context cloning

    @property
    def nbytes(self) -> int:
        return self.kv.nbytes + (0 if self.codec is None else self.codec.nbytes)


class PrefixCache:
    """Prefixes by prompt key, the least recently used thrown out.

    In bfloat16 one of 9 positions takes 1 MB, one of a voice cloned in context from 5 seconds about 14 MB.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Prefix] = OrderedDict()

    def get(self, key: Hashable) -> Prefix | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: Hashable, prefix: Prefix) -> None:
        self._entries[key] = prefix
        self._entries.move_to_end(key)
        while len(self._entries) > 1 and self.nbytes > self._max_bytes:
            self._entries.popitem(last=False)

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self._entries.values())

    @property
    def spare_bytes(self) -> int:
        """What more can be kept before something is thrown out."""
        return self._max_bytes - self.nbytes

    @property
    def largest_bytes(self) -> int:
        """Of the largest one that is kept."""
        return max((entry.nbytes for entry in self._entries.values()), default=0)


def kv_length(positions: int, max_positions: int) -> int:
    """The static length for a batch whose furthest row has so many positions."""
    return min(max_positions, -(-positions // KV_STEP) * KV_STEP)


class Slots:
    """The model's state for a fixed number of calls, and the free places in it."""

    def __init__(
        self, model: FrameModel, codec: CodecWeights, slots: int, max_positions: int, max_text: int, prefix_bytes: int
    ) -> None:
        self.model = model
        self.codec = codec
        self.state = DecodeState.allocate(model.talker, model.predictor, slots, max_positions, max_text)
        self.codec_state = CodecState.allocate(codec, slots)
        self.prefixes = PrefixCache(prefix_bytes)
        self._free = list(range(slots - 1, -1, -1))

    @property
    def free(self) -> int:
        return len(self._free)

    def check(self, prompt: Prompt) -> str | None:
        """Why the prompt cannot be spoken here at all; None if it can."""
        if len(prompt.embeds) >= self.state.talker_kv.max_positions:
            return f"a prompt of {len(prompt.embeds)} positions leaves no room to speak (MAX_POSITIONS)"
        if len(prompt.text) > self.state.text.shape[1]:
            return f"a text of {len(prompt.text)} tokens is too long for one sentence (MAX_POSITIONS)"
        return None

    def take(self, prompt: Prompt, sampling: Sampling) -> int:
        """Puts a call into a free slot, ready for its first frame, and returns the slot."""
        slot = self._free.pop()
        prefix = self._prefix(slot, prompt)
        last = len(prompt.embeds) - 1
        if prompt.constant < last:
            self._prefill(slot, prompt.embeds[prompt.constant : last], prompt.constant)
        if prefix.codec is None:
            self.codec_state.reset(slot)
        else:
            self.codec_state.write(slot, prefix.codec)
        self._settle(slot, prompt, sampling)
        return slot

    def _settle(self, slot: int, prompt: Prompt, sampling: Sampling) -> None:
        """All of a slot but what lies before the position that speaks first."""
        state, last = self.state, len(prompt.embeds) - 1
        state.x[slot] = prompt.embeds[last]
        state.seen[slot].zero_()
        state.text[slot, : len(prompt.text)] = prompt.text
        # `tensor[slot] = number` would copy the number from the host and wait until the GPU has come so far.
        for of, number in (
            (state.position, last),
            (state.frame, 0),
            (state.text_length, len(prompt.text)),
            (state.seed, sampling.seed),
            (state.temperature, sampling.temperature),
            (state.top_k, sampling.top_k),
            (state.top_p, sampling.top_p),
            (state.repetition_penalty, sampling.repetition_penalty),
            (state.sub_temperature, sampling.sub_temperature),
            (state.sub_top_k, sampling.sub_top_k),
            (state.sub_top_p, sampling.sub_top_p),
        ):
            of[slot].fill_(number)

    def release(self, slot: int) -> None:
        """Frees a slot; nothing of it is read again before `take` has written it."""
        self._free.append(slot)

    def _prefix(self, slot: int, prompt: Prompt) -> Prefix:
        """The constant part's keys and values, in the slot on return."""
        prefix = self.prefixes.get(prompt.key)
        if prefix is not None:
            self.state.talker_kv.write(slot, prefix.kv)
            return prefix
        self._prefill(slot, prompt.embeds[: prompt.constant], 0)
        heard = None
        if prompt.reference_codes is not None:
            self.codec_state.reset(slot)
            at = torch.full((1,), slot, device=self.state.x.device)
            for codes in torch.split(prompt.reference_codes, MAX_CHUNK_FRAMES):
                self._hear(at, codes[None])
            heard = self.codec_state.read(slot)
        prefix = Prefix(self.state.talker_kv.read(slot, prompt.constant), heard)
        self.prefixes.put(prompt.key, prefix)
        return prefix

    def _hear(self, at: Tensor, codes: Tensor) -> None:
        """The codec takes in codes [1, T, 16] whose sound nobody wants."""
        codec.decode(self.codec, self.codec_state, at, codes)

    def _prefill(self, slot: int, embeds: Tensor, start: int) -> None:
        if not len(embeds):
            return
        device = embeds.device
        end = start + len(embeds)
        positions = torch.arange(start, end, device=device)[None]
        length = kv_length(end, self.state.talker_kv.max_positions)
        at = torch.full((1,), slot, device=device)
        talker.prefill(self.model.talker, embeds[None], positions, self.state.talker_kv, at, length)
