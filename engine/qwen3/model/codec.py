"""The codec's decoder, frame by frame: 16 codes in, 1,920 samples out, equal to decoding the whole sentence at once.

Everything in it is causal, so what a later sample needs of earlier ones is kept for each slot: the last inputs of every
convolution, and the keys and values of the transformer's window. Batched, static shapes, no host sync.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.qwen3.model.codec_weights import CodecLayer, CodecWeights, Conv, ConvNext, Snake, UpConv
from engine.qwen3.model.layers import rms_norm, rotate

MAX_CHUNK_FRAMES: Final = 8
"""The most frames decoded at once; longer chunks go in pieces."""


@dataclass(frozen=True, slots=True)
class CodecState:
    """What each slot remembers; the last slot is a scratch one for padding rows, as in `DecodeState`."""

    kv: Tensor  # [layers, 2, S, heads, ring, head_dim]; frame p lies at p modulo ring
    tails: tuple[Tensor, ...]  # one a convolution, [S, channels, samples]
    position: Tensor  # [S] int64: frames decoded

    @staticmethod
    def allocate(codec: CodecWeights, slots: int) -> CodecState:
        size = slots + 1
        # A chunk's first frame looks back over the window while its last one is already written.
        ring = codec.window - 1 + MAX_CHUNK_FRAMES
        shape = (len(codec.layers), 2, size, codec.heads, ring, codec.head_dim)
        like = codec.norm
        tails = tuple(like.new_zeros(size, *convolution.tail) for convolution in codec.convolutions())
        return CodecState(like.new_zeros(shape), tails, torch.zeros(size, dtype=torch.int64, device=like.device))

    def reset(self, slot: int) -> None:
        """Resets a slot to silence. Old keys are left: positions tell that they are not the new sentence's."""
        self.position[slot].zero_()
        for tail in self.tails:
            tail[slot].zero_()

    def read(self, slot: int) -> CodecState:
        """Returns a copy of one slot, as a state of one slot."""
        tails = tuple(tail[slot : slot + 1].clone() for tail in self.tails)
        return CodecState(self.kv[:, :, slot : slot + 1].clone(), tails, self.position[slot : slot + 1].clone())

    def write(self, slot: int, saved: CodecState) -> None:
        """Puts what `read` gave into a slot."""
        self.kv[:, :, slot].copy_(saved.kv[:, :, 0])
        self.position[slot] = saved.position[0]
        for tail, kept in zip(self.tails, saved.tails, strict=True):
            tail[slot].copy_(kept[0])

    @property
    def nbytes(self) -> int:
        return self.kv.nbytes + self.position.nbytes + sum(tail.nbytes for tail in self.tails)


def snake(act: Snake, x: Tensor) -> Tensor:
    return x + act.inverse_beta * torch.sin(x * act.alpha).square()


def _attend(
    codec: CodecWeights,
    x: Tensor,
    layer: CodecLayer,
    kv: Tensor,
    slots: Tensor,
    positions: Tensor,
    rope: tuple[Tensor, Tensor],
    mask: Tensor,
) -> Tensor:
    batch, frames, _ = x.shape
    qkv = F.linear(x, layer.qkv).view(batch, frames, 3, codec.heads, codec.head_dim)
    q, k, v = rotate(qkv[:, :, 0], *rope), rotate(qkv[:, :, 1], *rope), qkv[:, :, 2]
    at = positions % kv.shape[3]
    kv[0][slots[:, None], :, at] = k
    kv[1][slots[:, None], :, at] = v
    keys, values = kv.index_select(1, slots)
    scores = torch.matmul(q.transpose(1, 2), keys.transpose(-1, -2)) * codec.head_dim**-0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1, dtype=torch.float32).to(x.dtype)
    out = torch.matmul(weights, values).transpose(1, 2).reshape(batch, frames, -1)
    return F.linear(out, layer.o)


def _transform(codec: CodecWeights, state: CodecState, slots: Tensor, x: Tensor) -> Tensor:
    """Runs the transformer over T new frames. x [B, T, latent]; returns the same shape."""
    positions = state.position[slots][:, None] + torch.arange(x.shape[1], device=x.device)
    ring = state.kv.shape[4]
    # The frame that a place of the ring holds: the newest one, up to the chunk's last, that falls there.
    newest = positions[:, -1:]
    held = newest - (newest - torch.arange(ring, device=x.device)) % ring
    age = positions[:, :, None] - held[:, None]
    mask = ((age >= 0) & (age < codec.window) & (held[:, None] >= 0))[:, None]
    rope = codec.cos[positions][:, :, None], codec.sin[positions][:, :, None]
    x = F.linear(x, *codec.input)
    for layer, kv in zip(codec.layers, state.kv, strict=True):
        normed = rms_norm(x, layer.input_norm, codec.eps)
        x = x + _attend(codec, normed, layer, kv, slots, positions, rope, mask)
        gate, up = F.linear(rms_norm(x, layer.post_norm, codec.eps), layer.gate_up).chunk(2, dim=-1)
        x = x + F.linear(F.silu(gate) * up, layer.down)
    return F.linear(rms_norm(x, codec.norm, codec.eps), *codec.output)


def _convnext(block: ConvNext, x: Tensor, convolve: Callable[[Conv, Tensor], Tensor]) -> Tensor:
    y = convolve(block.depthwise, x).transpose(1, 2)
    y = F.layer_norm(y, y.shape[-1:], *block.norm, eps=1e-6)
    return x + F.linear(F.gelu(F.linear(y, *block.wide)), *block.narrow).transpose(1, 2)


def decode(codec: CodecWeights, state: CodecState, slots: Tensor, codes: Tensor) -> Tensor:
    """Decodes the next T frames of B slots.

    slots [B] int64, different but for the scratch slot; codes [B, T, 16] int64, 1 <= T <= MAX_CHUNK_FRAMES.
    Returns [B, T * 1920] within -1 and 1, in the codec's dtype; works in place on `state`.
    """
    tails = iter(state.tails)

    def remembered(x: Tensor) -> Tensor:
        tail = next(tails)
        joined = torch.cat((tail[slots], x), dim=2)
        tail[slots] = joined[:, :, joined.shape[2] - tail.shape[2] :]
        return joined

    def convolve(conv: Conv, x: Tensor) -> Tensor:
        return F.conv1d(remembered(x), conv.weight, conv.bias, dilation=conv.dilation, groups=conv.groups)

    def upsample(up: UpConv, x: Tensor) -> Tensor:
        samples = x.shape[2] * up.stride
        if up.tail[1] == 0:
            return F.conv_transpose1d(x, up.weight, up.bias, stride=up.stride)
        # Each input reaches into the next one's outputs: the input before the chunk gives them their first part.
        y = F.conv_transpose1d(remembered(x), up.weight, up.bias, stride=up.stride)
        return y[:, :, up.stride : up.stride + samples]

    groups = torch.arange(codes.shape[2], device=codes.device)
    looked_up = codec.codebooks[groups, codes]  # [B, T, 16, codebook / 2]
    x = F.linear(looked_up[:, :, 0], codec.project[0]) + F.linear(looked_up[:, :, 1:].sum(2), codec.project[1])
    x = convolve(codec.pre_conv, x.transpose(1, 2)).transpose(1, 2)
    x = _transform(codec, state, slots, x).transpose(1, 2)
    for up, block in codec.upsample:
        x = _convnext(block, upsample(up, x), convolve)
    x = convolve(codec.widen, x)
    for act, up, units in codec.blocks:
        x = upsample(up, snake(act, x))
        for unit in units:
            y = convolve(unit.first, snake(unit.first_snake, x))
            x = x + F.conv1d(snake(unit.second_snake, y), unit.second.weight, unit.second.bias)
    x = convolve(codec.last, snake(codec.last_snake, x))
    state.position[slots] = state.position[slots] + codes.shape[1]
    return x[:, 0].clamp(-1, 1)
