"""What every sentence in the batch keeps between frames: one slot each, allocated once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.model.layers import KvCache
from engine.qwen3.model.paged_kv import PagedKv
from engine.qwen3.model.weights import PredictorWeights, TalkerWeights

CODE_GROUPS: Final = 16
"""The codes of a frame, one from each of the codec's codebooks."""


@dataclass(frozen=True, slots=True)
class DecodeState:
    """Per-slot tensors, S = slots + 1: the last slot is the scratch slot, for rows that pad a batch to its bucket."""

    talker_kv: KvCache | PagedKv  # the plain layers want the former, the kernels take either
    predictor_kv: KvCache  # rows of a batch, not slots: nothing in it outlives a frame
    x: Tensor  # [S, hidden]: the talker's next input
    position: Tensor  # [S] int64: where x goes
    frame: Tensor  # [S] int64: frames made
    seen: Tensor  # [S, 3072] bool: code 0s drawn so far
    text: Tensor  # [S, max_text, hidden]: projected text embeddings, entry i added to the input after frame i
    text_length: Tensor  # [S] int64: how many of them there are; past the end the pad embedding is added
    seed: Tensor  # [S] int64
    temperature: Tensor  # [S] float32, code 0's
    top_k: Tensor  # [S] int64
    top_p: Tensor  # [S] float32
    repetition_penalty: Tensor  # [S] float32
    sub_temperature: Tensor  # [S] float32, codes 1 to 15's
    sub_top_k: Tensor  # [S] int64
    sub_top_p: Tensor  # [S] float32

    @staticmethod
    def allocate(
        talker: TalkerWeights,
        predictor: PredictorWeights,
        slots: int,
        max_positions: int,
        max_text: int,
        paged: bool = False,
    ) -> DecodeState:
        size = slots + 1
        hidden, device, dtype = talker.stack.hidden, talker.embedding.device, talker.embedding.dtype

        def whole(fill: int = 0) -> Tensor:
            return torch.full((size,), fill, dtype=torch.int64, device=device)

        def real(fill: float) -> Tensor:
            return torch.full((size,), fill, dtype=torch.float32, device=device)

        return DecodeState(
            talker_kv=(PagedKv if paged else KvCache.allocate)(talker.stack, size, max_positions),
            # Batches are padded to a power of two.
            predictor_kv=KvCache.allocate(predictor.stack, 1 << (slots - 1).bit_length(), CODE_GROUPS),
            x=torch.zeros(size, hidden, dtype=dtype, device=device),
            position=whole(),
            frame=whole(),
            seen=torch.zeros(size, talker.embedding.shape[0], dtype=torch.bool, device=device),
            text=torch.zeros(size, max_text, hidden, dtype=dtype, device=device),
            text_length=whole(),
            seed=whole(),
            temperature=real(0.9),
            top_k=whole(50),
            top_p=real(1.0),
            repetition_penalty=real(1.05),
            sub_temperature=real(0.9),
            sub_top_k=whole(50),
            sub_top_p=real(1.0),
        )

    @property
    def slots(self) -> int:
        return self.x.shape[0] - 1

    @property
    def scratch(self) -> int:
        """The scratch slot, which padding rows use."""
        return self.slots

    @property
    def plain_kv(self) -> KvCache:
        """The talker's cache for the plain layers."""
        assert isinstance(self.talker_kv, KvCache)
        return self.talker_kv

    @property
    def nbytes(self) -> int:
        tensors = (getattr(self, f.name) for f in fields(self))
        return sum(each.nbytes for each in tensors)
