"""The slots of the fast runner: the codec's state is the kernels', and a prompt goes in piece by piece."""

from __future__ import annotations

from typing import Final

import torch

from engine.qwen3.batch.prefixes import Prefix
from engine.qwen3.batch.slots import SlotTable
from engine.qwen3.cuda.pinned import Streams
from engine.qwen3.cuda.preparation import Preparation
from engine.qwen3.kernels.codec import FastCodec, Heard
from engine.qwen3.model.codec import MAX_CHUNK_FRAMES
from engine.qwen3.model.codec_weights import CodecWeights
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.paged_kv import PagedKv
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling

SOUND_BATCH: Final = 256
"""The most calls whose sound is made at once: the GPU is full long before, and the buffers are large."""


class FastSlots(SlotTable[Heard]):
    """Slots whose sound the kernels of `FastCodec` make; a prompt is worked off piece by piece."""

    def __init__(
        self,
        model: FrameModel,
        codec: CodecWeights,
        slots: int,
        max_positions: int,
        max_text: int,
        prefix_bytes: int,
        streams: Streams,
        sound_dtype: torch.dtype = torch.float16,
    ) -> None:
        ends = len(model.talker.stack.cos), len(codec.cos) - MAX_CHUNK_FRAMES
        if max_positions > min(ends):
            # The kernels look nothing up with care: a position behind the tables would read what is not there.
            raise ValueError(f"MAX_POSITIONS={max_positions} is more than the model's tables hold, {min(ends)}")
        super().__init__(model, slots, max_positions, max_text, prefix_bytes, paged=True)
        self.streams = streams
        self.fast_codec = FastCodec(codec, slots, min(slots, SOUND_BATCH), dtype=sound_dtype, device=model.pad.device)
        if model.pad.is_cuda:  # else it is built to compile for a GPU that is not here
            torch.cuda.synchronize()

    @property
    def pages(self) -> PagedKv:
        """The talker's keys and values."""
        assert isinstance(self.state.talker_kv, PagedKv)
        return self.state.talker_kv

    def place(self, prompt: Prompt, sampling: Sampling) -> Preparation | None:
        """Gives a sentence a free slot. Returns its preparation; the slot is ready once that is done.

        Returns None where there is no memory for the prompt.
        """
        slot = self._free[-1]
        if not self.hold(slot, len(prompt.embeds)):
            self.pages.release(slot)
            return None
        self._free.pop()
        with torch.cuda.stream(self.streams.frames):
            self._settle(slot, prompt, sampling)
        return Preparation(slot, prompt)

    def hold(self, slot: int, positions: int) -> bool:
        """Makes room for the keys and values of a slot's first positions. Returns False where there is no memory."""
        # Every call asks for every frame, and needs a page for one in sixty-four. To enter a stream takes the longest.
        if self.pages.holds(slot, positions):
            return True
        with torch.cuda.stream(self.streams.frames):
            return self.pages.hold(slot, positions)

    def release(self, slot: int) -> None:
        with torch.cuda.stream(self.streams.frames):
            self.pages.release(slot)
        super().release(slot)

    def shrink(self) -> None:
        """Gives memory back that a crowd has taken, or a voice that was learnt. The GPU has to have nothing to do."""
        self.pages.shrink()
        torch.cuda.empty_cache()

    def is_kept(self, prompt: Prompt) -> bool:
        """Tells whether nothing of the prompt is left to be worked off."""
        return prompt.constant == prompt.last and self.prefixes.get(prompt.key) is not None

    def begin(self, preparation: Preparation) -> None:
        """Puts what is kept of the prompt into the slot, where the preparation begins."""
        prompt, slot = preparation.prompt, preparation.slot
        kept = self.prefixes.get(prompt.key)
        preparation.begun, preparation.keep = True, kept is None
        if kept is not None:
            with torch.cuda.stream(self.streams.frames):
                self.pages.write(slot, kept.kv)
            preparation.position = prompt.constant
            preparation.heard += preparation.unheard
        if preparation.unheard:
            # What it is to hear is there, and the slot's last frame is made: both end in the frames' history.
            self.streams.sound.wait_stream(self.streams.frames)
        with torch.cuda.stream(self.streams.sound):
            if kept is None or kept.codec is None:
                self.fast_codec.reset(slot)
            else:
                self.fast_codec.write(slot, kept.codec)

    def keep(self, preparation: Preparation) -> None:
        """Keeps what the prompt's constant part has left in the slot, for the next sentence in this voice."""
        prompt, slot = preparation.prompt, preparation.slot
        with torch.cuda.stream(self.streams.frames):
            kv = self.pages.read(slot, prompt.constant)
        heard = None
        if prompt.reference_codes is not None:
            with torch.cuda.stream(self.streams.sound):
                heard = self.fast_codec.read(slot)
        self.prefixes.put(prompt.key, Prefix(kv, heard))
