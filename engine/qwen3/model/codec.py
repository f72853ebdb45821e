"""The codec decoder, frame by frame: 16 codes in, 1,920 samples out, equal to decoding the whole sentence at once.

Everything in it is causal, so what a later sample needs of earlier ones is kept for each slot: the last inputs of every
convolution, and the keys and values of the transformer's window. Batched, static shapes, no host sync.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.qwen3.model.layers import rms_norm, rotate
from engine.qwen3.model.weights import rope_tables

MAX_CHUNK_FRAMES: Final = 8
"""Frames decoded at once at most; longer chunks go in pieces."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A causal convolution. weight [out, in / groups, kernel]; its tail is the last (kernel - 1) * dilation inputs."""

    weight: Tensor
    bias: Tensor
    dilation: int = 1
    groups: int = 1

    @property
    def tail(self) -> tuple[int, int]:
        """Shape of what it remembers: channels, samples."""
        return self.weight.shape[1] * self.groups, (self.weight.shape[2] - 1) * self.dilation


@dataclass(frozen=True, slots=True)
class UpConv:
    """A causal transposed convolution. weight [in, out, kernel]; kernel is once or twice the stride."""

    weight: Tensor
    bias: Tensor
    stride: int

    @property
    def tail(self) -> tuple[int, int]:
        return self.weight.shape[0], self.weight.shape[2] // self.stride - 1


@dataclass(frozen=True, slots=True)
class Snake:
    """x + sin²(alpha x) / beta, both [1, channels, 1], stored ready to use."""

    alpha: Tensor
    inverse_beta: Tensor


@dataclass(frozen=True, slots=True)
class CodecLayer:
    """One layer of the codec's transformer; the residual scales are multiplied into o and down."""

    input_norm: Tensor
    qkv: Tensor  # [3 * heads * head_dim, hidden]
    o: Tensor
    post_norm: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True)
class ConvNext:
    """Depthwise convolution, norm and MLP; the residual scale is multiplied into `narrow`."""

    depthwise: Conv
    norm: tuple[Tensor, Tensor]
    wide: tuple[Tensor, Tensor]
    narrow: tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class ResidualUnit:
    first_snake: Snake
    first: Conv
    second_snake: Snake
    second: Conv


@dataclass(frozen=True, slots=True)
class CodecWeights:
    """All of the decoder. Real sizes: codebook 512, latent 1024, hidden 512, decoder 1536 halved by each block."""

    codebooks: Tensor  # [16, 2048, codebook / 2]
    project: Tensor  # [2, codebook, codebook / 2]: for the semantic codebook, and for the sum of the others
    pre_conv: Conv
    input: tuple[Tensor, Tensor]
    layers: tuple[CodecLayer, ...]
    norm: Tensor
    output: tuple[Tensor, Tensor]
    heads: int
    head_dim: int
    eps: float
    window: int  # frames a frame sees, itself included
    cos: Tensor
    sin: Tensor
    upsample: tuple[tuple[UpConv, ConvNext], ...]
    widen: Conv
    blocks: tuple[tuple[Snake, UpConv, tuple[ResidualUnit, ...]], ...]
    last_snake: Snake
    last: Conv

    @property
    def samples_per_frame(self) -> int:
        rate = 1
        for up, _ in self.upsample:
            rate *= up.stride
        for _, up, _ in self.blocks:
            rate *= up.stride
        return rate

    def convolutions(self) -> list[Conv | UpConv]:
        """Every convolution that remembers something, in the order they run."""
        out: list[Conv | UpConv] = [self.pre_conv]
        out += [block.depthwise for _, block in self.upsample]
        out.append(self.widen)
        for _, up, units in self.blocks:
            out += [up, *(unit.first for unit in units)]
        return [*out, self.last]


def take_codec(decoder: Any, device: torch.device | str, dtype: torch.dtype) -> CodecWeights:
    """Upstream's `Qwen3TTSTokenizerV2Decoder` as plain tensors."""

    def tensor(t: Tensor) -> Tensor:
        return t.detach().to(device, dtype).contiguous()

    def linear(module: Any, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weight, bias = module.weight.detach().float(), module.bias.detach().float()
        return (
            (tensor(weight), tensor(bias))
            if scale is None
            else (tensor(scale.detach().float()[:, None] * weight), tensor(scale.detach().float() * bias))
        )

    def conv(module: Any) -> Conv:
        inner = module.conv
        return Conv(tensor(inner.weight), tensor(inner.bias), inner.dilation[0], inner.groups)

    def up(module: Any) -> UpConv:
        return UpConv(tensor(module.conv.weight), tensor(module.conv.bias), module.conv.stride[0])

    def snake(module: Any) -> Snake:
        alpha, beta = module.alpha.detach().float().exp(), module.beta.detach().float().exp()
        return Snake(tensor(alpha[None, :, None]), tensor((1 / (beta + module.no_div_by_zero))[None, :, None]))

    def table(quantizer: Any) -> list[Tensor]:
        books = [layer._codebook for layer in quantizer.vq.layers]
        return [tensor(b.embedding_sum.float() / b.cluster_usage.float().clamp(min=b.epsilon)[:, None]) for b in books]

    config, quantizer, transformer = decoder.config, decoder.quantizer, decoder.pre_transformer
    layers = []
    for layer in transformer.layers:
        attention, mlp = layer.self_attn, layer.mlp
        attention_scale, mlp_scale = layer.self_attn_layer_scale.scale.float(), layer.mlp_layer_scale.scale.float()
        layers.append(
            CodecLayer(
                input_norm=tensor(layer.input_layernorm.weight),
                qkv=tensor(torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])),
                o=tensor(attention_scale[:, None] * attention.o_proj.weight.float()),
                post_norm=tensor(layer.post_attention_layernorm.weight),
                gate_up=tensor(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])),
                down=tensor(mlp_scale[:, None] * mlp.down_proj.weight.float()),
            )
        )
    upsample = []
    for transposed, block in decoder.upsample:
        next_block = ConvNext(
            conv(block.dwconv),
            (tensor(block.norm.weight), tensor(block.norm.bias)),
            linear(block.pwconv1),
            linear(block.pwconv2, block.gamma),
        )
        upsample.append((up(transposed), next_block))
    blocks = []
    for module in decoder.decoder[1:-2]:
        first_snake, transposed, *units = module.block
        residual = tuple(ResidualUnit(snake(u.act1), conv(u.conv1), snake(u.act2), conv(u.conv2)) for u in units)
        blocks.append((snake(first_snake), up(transposed), residual))
    cos, sin = rope_tables(config.max_position_embeddings, config.head_dim, config.rope_theta, device)
    return CodecWeights(
        codebooks=torch.stack(table(quantizer.rvq_first) + table(quantizer.rvq_rest)),
        project=torch.stack([tensor(q.output_proj.weight[:, :, 0]) for q in (quantizer.rvq_first, quantizer.rvq_rest)]),
        pre_conv=conv(decoder.pre_conv),
        input=linear(transformer.input_proj),
        layers=tuple(layers),
        norm=tensor(transformer.norm.weight),
        output=linear(transformer.output_proj),
        heads=config.num_attention_heads,
        head_dim=config.head_dim,
        eps=config.rms_norm_eps,
        window=config.sliding_window,
        cos=cos,
        sin=sin,
        upsample=tuple(upsample),
        widen=conv(decoder.decoder[0]),
        blocks=tuple(blocks),
        last_snake=snake(decoder.decoder[-2]),
        last=conv(decoder.decoder[-1]),
    )


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
        """Silence before the first frame. Old keys are left: positions tell that they are not this call's."""
        self.position[slot].zero_()
        for tail in self.tails:
            tail[slot].zero_()

    def read(self, slot: int) -> CodecState:
        """A copy of one slot, as a state of one slot."""
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
    """The transformer over T new frames. x [B, T, latent]; returns the same shape."""
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
    """The sound of the next T frames of B slots.

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
