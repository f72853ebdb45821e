"""The codec's weights as its kernels read them: every linear map one matrix in 16 bits, every factor in 32."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.qwen3.kernels.conv import Packed
from engine.qwen3.model.codec_weights import CodecWeights, Conv, Snake, UpConv


def pack(matrix: Conv | UpConv | tuple[Tensor, Tensor | None], dtype: torch.dtype) -> Packed:
    """Returns any of the codec's linear maps as one matrix, its weights in `dtype`."""
    if isinstance(matrix, tuple):
        weight, bias = matrix
        taps, dilation, inputs, channels = 1, 1, weight.shape[1], weight.shape[0]
    elif isinstance(matrix, Conv):
        weight, bias = matrix.weight.permute(0, 2, 1).flatten(1), matrix.bias
        channels, inputs, taps, dilation = *matrix.weight.shape, matrix.dilation
    else:
        inputs, channels, kernel = matrix.weight.shape
        taps, dilation = kernel // matrix.stride, 1
        # [in, out, tap, sample] → [sample, out, tap, in]; the older input meets the kernel's later half.
        split = matrix.weight.view(inputs, channels, taps, matrix.stride).flip(2)
        weight, bias = (
            split.permute(3, 1, 2, 0).reshape(matrix.stride * channels, -1),
            matrix.bias.repeat(matrix.stride),
        )
    kept = None if bias is None else bias.float().contiguous()
    return Packed(weight.to(dtype).contiguous(), kept, taps, dilation, inputs, channels)


@dataclass(frozen=True, slots=True)
class PackedUnit:
    first: Packed
    second: Packed
    first_snake: tuple[Tensor, Tensor]
    second_snake: tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class PackedBlock:
    snake: tuple[Tensor, Tensor]
    up: Packed
    stride: int
    rate: int
    """The rows that one frame has become behind it."""
    units: tuple[PackedUnit, ...]


@dataclass(frozen=True, slots=True)
class PackedNext:
    up: Packed
    stride: int
    rate: int
    depthwise: Tensor
    depthwise_bias: Tensor
    norm: tuple[Tensor, Tensor]
    wide: Packed
    narrow: Packed


@dataclass(frozen=True, slots=True)
class PackedLayer:
    input_norm: Tensor
    qkv: Packed
    o: Packed
    post_norm: Tensor
    gate_up: Packed
    down: Packed

    @property
    def inner(self) -> int:
        return self.down.channels_in


def pack_layers(weights: CodecWeights, dtype: torch.dtype) -> tuple[PackedLayer, ...]:
    """Packs the transformer's layers."""
    return tuple(
        PackedLayer(
            y.input_norm, pack((y.qkv, None), dtype), pack((y.o, None), dtype), y.post_norm,
            pack((y.gate_up, None), dtype), pack((y.down, None), dtype),
        )
        for y in weights.layers
    )  # fmt: skip


def pack_nexts(weights: CodecWeights, dtype: torch.dtype) -> tuple[PackedNext, ...]:
    """Packs the upsampling in front of the blocks."""
    rate, nexts = 1, []
    for up, block in weights.upsample:
        rate *= up.stride
        depthwise = block.depthwise.weight[:, 0].t().contiguous()
        nexts.append(
            PackedNext(
                pack(up, dtype), up.stride, rate, depthwise, block.depthwise.bias, block.norm,
                pack(block.wide, dtype), pack(block.narrow, dtype),
            )
        )  # fmt: skip
    return tuple(nexts)


def pack_blocks(weights: CodecWeights, dtype: torch.dtype, rate: int) -> tuple[PackedBlock, ...]:
    """Packs the blocks of convolutions. rate: the rows that one frame has become before them."""
    blocks = []
    for act, up, units in weights.blocks:
        rate *= up.stride
        packed = tuple(
            PackedUnit(
                pack(u.first, dtype), pack(u.second, dtype), pack_snake(u.first_snake), pack_snake(u.second_snake)
            )
            for u in units
        )
        blocks.append(PackedBlock(pack_snake(act), pack(up, dtype), up.stride, rate, packed))
    return tuple(blocks)


def pack_snake(act: Snake) -> tuple[Tensor, Tensor]:
    return act.alpha.flatten().float().contiguous(), act.inverse_beta.flatten().float().contiguous()
