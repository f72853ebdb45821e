"""Weights of the true sizes drawn at random, for benchmarks and kernel tests without a checkpoint.

Speed does not depend on their values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.qwen3.model.weights import Dense, LayerWeights, PredictorWeights, StackWeights, TalkerWeights, rope_tables


@dataclass(frozen=True, slots=True)
class StackSize:
    layers: int
    hidden: int
    intermediate: int
    heads: int = 16
    kv_heads: int = 8
    head_dim: int = 128


TALKER_SIZES = {"0.6B": StackSize(28, 1024, 3072), "1.7B": StackSize(28, 2048, 6144)}
PREDICTOR_SIZE = StackSize(5, 1024, 3072)
_VOCABULARY, _SUB_VOCABULARY, _GROUPS = 3072, 2048, 16
_EPS, _THETA = 1e-6, 1e6


class _Source:
    def __init__(self, device: torch.device | str, dtype: torch.dtype, seed: int) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self.device, self.dtype = device, dtype

    def normal(self, *shape: int, std: float) -> Tensor:
        out = torch.empty(shape, device=self.device, dtype=self.dtype)
        return out.normal_(std=std, generator=self.generator)

    def dense(self, out: int, inp: int) -> Dense:
        # This spread keeps activations near 1 through every layer, as a trained model's are.
        return Dense(self.normal(out, inp, std=1 / math.sqrt(inp)))

    def norm(self, size: int) -> Tensor:
        return 1 + self.normal(size, std=0.1)

    def stack(self, size: StackSize, positions: int) -> StackWeights:
        width = size.heads * size.head_dim
        layers = tuple(
            LayerWeights(
                input_norm=self.norm(size.hidden),
                qkv=self.dense(width + 2 * size.kv_heads * size.head_dim, size.hidden),
                q_norm=self.norm(size.head_dim),
                k_norm=self.norm(size.head_dim),
                o=self.dense(size.hidden, width),
                post_norm=self.norm(size.hidden),
                gate_up=self.dense(2 * size.intermediate, size.hidden),
                down=self.dense(size.hidden, size.intermediate),
            )
            for _ in range(size.layers)
        )
        cos, sin = rope_tables(positions, size.head_dim, _THETA, self.device)
        return StackWeights(layers, self.norm(size.hidden), size.heads, size.kv_heads, size.head_dim, _EPS, cos, sin)


def random_weights(
    talker: StackSize,
    predictor: StackSize,
    device: torch.device | str,
    dtype: torch.dtype,
    max_positions: int = 1024,
    seed: int = 0,
) -> tuple[TalkerWeights, PredictorWeights]:
    """Draws weights, as in `random_weights(TALKER_SIZES["0.6B"], PREDICTOR_SIZE, "cuda", torch.bfloat16)`."""
    source = _Source(device, dtype, seed)
    hidden = talker.hidden
    return (
        TalkerWeights(
            stack=source.stack(talker, max_positions),
            embedding=source.normal(_VOCABULARY, hidden, std=0.3),
            head=source.dense(_VOCABULARY, hidden),
        ),
        PredictorWeights(
            stack=source.stack(predictor, _GROUPS),
            embeddings=source.normal(_GROUPS - 1, _SUB_VOCABULARY, hidden, std=0.3),
            heads=tuple(source.dense(_SUB_VOCABULARY, predictor.hidden) for _ in range(_GROUPS - 1)),
            projection=None if hidden == predictor.hidden else source.dense(predictor.hidden, hidden),
        ),
    )
