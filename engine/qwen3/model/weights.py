"""The weights of the two language models as plain tensors, packed for decoding: QKV one matrix, gate and up another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

W = TypeVar("W")
Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor, int], Tensor]
"""The signature of engine.qwen3.model.layers.attend."""


class Linear(Protocol):
    """A matrix that can be applied, in whatever format its numbers are kept. quantize.py has others than `Dense`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Maps [..., in] to [..., out], in x's dtype."""

    @property
    def nbytes(self) -> int:
        """The bytes read by one application to one row."""


Convert = Callable[[Linear], Linear]
"""Converts a matrix to another format."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A matrix in floating point. weight [out, in], bias [out] or None."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One transformer layer."""

    input_norm: Tensor  # [hidden]
    qkv: Linear  # hidden → (heads + 2 * kv_heads) * head_dim: all query heads, then key heads, then value heads
    q_norm: Tensor  # [head_dim]
    k_norm: Tensor  # [head_dim]
    o: Linear  # heads * head_dim → hidden
    post_norm: Tensor  # [hidden]
    gate_up: Linear  # hidden → 2 * intermediate: all of gate, then all of up
    down: Linear  # intermediate → hidden


@dataclass(frozen=True, slots=True)
class StackWeights:
    """A stack of layers and the norm after it: 28 layers for the talker, 5 for the predictor."""

    layers: tuple[LayerWeights, ...]
    norm: Tensor  # [hidden]
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    cos: Tensor  # [positions, head_dim] float32, the second half of each row repeats the first
    sin: Tensor  # [positions, head_dim] float32
    attend: Attend | None = None  # instead of layers.attend

    @property
    def hidden(self) -> int:
        return self.norm.shape[0]


@dataclass(frozen=True, slots=True)
class TalkerWeights:
    """The talker: position in, code 0 out."""

    stack: StackWeights
    embedding: Tensor  # [3072, hidden]: code 0 and the control codes
    head: Linear  # hidden → 3072


@dataclass(frozen=True, slots=True)
class PredictorWeights:
    """The code predictor: the talker's hidden state and code 0 in, codes 1 to 15 out."""

    stack: StackWeights
    embeddings: Tensor  # [15, 2048, talker's hidden]: table j embeds code j + 1
    heads: tuple[Linear, ...]  # 15 of: predictor's hidden → 2048; head j gives code j + 1
    projection: Linear | None  # talker's hidden → predictor's hidden; None where they are equal (0.6B)


def rope_tables(positions: int, head_dim: int, theta: float, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Returns cos and sin, each [positions, head_dim] float32.

    The talker's interleaved mrope comes to the same: its three positions are always equal.
    """
    # Made on the CPU and moved, so that every device has the same tables.
    inverse = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim))
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * inverse
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(device), angles.sin().to(device)


def _taken(parameter: Any, device: torch.device | str | None) -> Tensor:
    tensor: Tensor = parameter.detach()
    return tensor if device is None else tensor.to(device)


def _pack(device: torch.device | str | None, *linears: Any) -> Dense:
    # A copy is made even of one, so that upstream's can be freed. They are joined where they are, so that the device
    # gets the result once.
    weight = _taken(torch.cat([linear.weight.detach() for linear in linears]), device)
    biased = linears[0].bias is not None
    bias = _taken(torch.cat([linear.bias.detach() for linear in linears]), device) if biased else None
    return Dense(weight, bias)


def _stack(
    model: Any, config: Any, positions: int, device: torch.device | str | None, convert: Convert | None
) -> StackWeights:
    def matrix(*linears: Any) -> Linear:
        packed = _pack(device, *linears)
        # One after the other, so that the device holds at most one in the checkpoint's format beside what stays.
        return packed if convert is None else convert(packed)

    layers = []
    for layer in model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        layers.append(
            LayerWeights(
                input_norm=_taken(layer.input_layernorm.weight, device),
                qkv=matrix(attention.q_proj, attention.k_proj, attention.v_proj),
                q_norm=_taken(attention.q_norm.weight, device),
                k_norm=_taken(attention.k_norm.weight, device),
                o=matrix(attention.o_proj),
                post_norm=_taken(layer.post_attention_layernorm.weight, device),
                gate_up=matrix(mlp.gate_proj, mlp.up_proj),
                down=matrix(mlp.down_proj),
            )
        )
    norm = _taken(model.norm.weight, device)
    cos, sin = rope_tables(positions, config.head_dim, config.rope_theta, norm.device)
    return StackWeights(
        layers=tuple(layers),
        norm=norm,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        eps=config.rms_norm_eps,
        cos=cos,
        sin=sin,
    )


def take_talker(
    talker: Any, max_positions: int, device: torch.device | str | None = None, convert: Convert | None = None
) -> TalkerWeights:
    """Returns upstream's `Qwen3TTSTalkerForConditionalGeneration` as plain tensors, where they are without `device`.

    `convert` converts each of the layers' matrices to the format that it is kept in.
    """
    return TalkerWeights(
        stack=_stack(talker.model, talker.config, max_positions, device, convert),
        embedding=_taken(talker.model.codec_embedding.weight, device),
        head=_pack(device, talker.codec_head),
    )


def take_predictor(
    predictor: Any, device: torch.device | str | None = None, convert: Convert | None = None
) -> PredictorWeights:
    """Returns upstream's `Qwen3TTSTalkerCodePredictorModelForConditionalGeneration`, as `take_talker` does."""
    projection = getattr(predictor, "small_to_mtp_projection", None)  # 0.6B's files have none
    return PredictorWeights(
        stack=_stack(predictor.model, predictor.config, predictor.config.num_code_groups, device, convert),
        embeddings=torch.stack([_taken(table.weight, device) for table in predictor.model.codec_embedding]),
        heads=tuple(_pack(device, head) for head in predictor.lm_head),
        projection=_pack(device, projection) if hasattr(projection, "weight") else None,
    )


def moved(weights: W, device: torch.device | str) -> W:
    """Returns the same dataclass or tuple with every tensor in it on the device."""
    out: Any = weights
    if isinstance(weights, Tensor):
        out = weights.to(device)
    elif isinstance(weights, tuple):
        out = tuple(moved(each, device) for each in weights)
    elif is_dataclass(weights):
        out = replace(out, **{each.name: moved(getattr(weights, each.name), device) for each in fields(weights)})
    return cast("W", out)
