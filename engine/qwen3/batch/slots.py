"""The slots of a batch: which are free, and how a new sentence is put into one."""

from __future__ import annotations

from typing import Final, Generic

import torch
from torch import Tensor

from engine.qwen3.batch.prefixes import Prefix, PrefixCache, R
from engine.qwen3.model import codec, narrowband, talker
from engine.qwen3.model.codec import MAX_CHUNK_FRAMES, CodecState
from engine.qwen3.model.codec_weights import CodecWeights
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.state import DecodeState

KV_STEP: Final = 64
"""Attention looks at a multiple of this many positions, so that few shapes occur."""


def kv_length(positions: int, max_positions: int) -> int:
    """Returns the static length for a batch whose furthest row has so many positions."""
    return min(max_positions, -(-positions // KV_STEP) * KV_STEP)


class SlotTable(Generic[R]):
    """The model's state for a fixed number of sentences, its free slots, and the prefixes that are kept.

    R is the type of what the codec remembers of a slot.
    """

    def __init__(
        self, model: FrameModel, slots: int, max_positions: int, max_text: int, prefix_bytes: int, paged: bool = False
    ) -> None:
        self.model = model
        self.state = DecodeState.allocate(model.talker, model.predictor, slots, max_positions, max_text, paged)
        self.prefixes: PrefixCache[R] = PrefixCache(prefix_bytes)
        self._free = list(range(slots - 1, -1, -1))

    @property
    def free(self) -> int:
        """The number of free slots."""
        return len(self._free)

    @property
    def max_positions(self) -> int:
        return self.state.talker_kv.max_positions

    def check(self, prompt: Prompt) -> str | None:
        """Returns why the prompt cannot be spoken here at all; None if it can."""
        if len(prompt.embeds) >= self.max_positions:
            return f"a prompt of {len(prompt.embeds)} positions leaves no room to speak (MAX_POSITIONS)"
        if len(prompt.text) > self.state.text.shape[1]:
            return f"a text of {len(prompt.text)} tokens is too long for one sentence (MAX_POSITIONS)"
        return None

    def release(self, slot: int) -> None:
        """Frees a slot; nothing of it is read again before it has been written for the next sentence."""
        self._free.append(slot)

    def _settle(self, slot: int, prompt: Prompt, sampling: Sampling) -> None:
        """Writes all of a slot but the keys and values before the position that speaks first."""
        state = self.state
        state.x[slot] = prompt.embeds[prompt.last]
        state.seen[slot].zero_()
        state.text[slot, : len(prompt.text)] = prompt.text
        # `tensor[slot] = number` would copy the number from the host and wait until the GPU has come so far.
        for of, number in (
            (state.position, prompt.last),
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


class Slots(SlotTable[CodecState]):
    """Slots whose sound plain PyTorch makes; a prompt goes into one at once."""

    def __init__(
        self, model: FrameModel, codec: CodecWeights, slots: int, max_positions: int, max_text: int, prefix_bytes: int
    ) -> None:
        super().__init__(model, slots, max_positions, max_text, prefix_bytes)
        self.codec = codec
        self.codec_state = CodecState.allocate(codec, slots)
        self.before = narrowband.allocate_before(slots, self.state.x.device)

    def take(self, prompt: Prompt, sampling: Sampling) -> int:
        """Puts a sentence into a free slot, ready for its first frame, and returns the slot."""
        slot = self._free.pop()
        prefix = self._prefix(slot, prompt)
        if prompt.constant < prompt.last:
            self._prefill(slot, prompt.embeds[prompt.constant : prompt.last], prompt.constant)
        if prefix.codec is None:
            self.codec_state.reset(slot)
        else:
            self.codec_state.write(slot, prefix.codec)
        self._settle(slot, prompt, sampling)
        return slot

    def _prefix(self, slot: int, prompt: Prompt) -> Prefix[CodecState]:
        """Returns the prefix of the prompt's constant part, whose keys and values are in the slot then."""
        prefix = self.prefixes.get(prompt.key)
        if prefix is not None:
            self.state.plain_kv.write(slot, prefix.kv)
            return prefix
        self._prefill(slot, prompt.embeds[: prompt.constant], 0)
        heard = None
        if prompt.reference_codes is not None:
            self.codec_state.reset(slot)
            at = torch.full((1,), slot, device=self.state.x.device)
            for codes in torch.split(prompt.reference_codes, MAX_CHUNK_FRAMES):
                codec.decode(self.codec, self.codec_state, at, codes[None])  # to be heard: nobody wants its sound
            heard = self.codec_state.read(slot)
        prefix = Prefix(self.state.plain_kv.read(slot, prompt.constant), heard)
        self.prefixes.put(prompt.key, prefix)
        return prefix

    def _prefill(self, slot: int, embeds: Tensor, start: int) -> None:
        if not len(embeds):
            return
        device = embeds.device
        end = start + len(embeds)
        positions = torch.arange(start, end, device=device)[None]
        length = kv_length(end, self.max_positions)
        at = torch.full((1,), slot, device=device)
        talker.prefill(self.model.talker, embeds[None], positions, self.state.plain_kv, at, length)
