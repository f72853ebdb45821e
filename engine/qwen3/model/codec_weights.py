"""The codec decoder's weights, as `model.codec` and the kernels read them, and how they are taken from upstream's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.qwen3.model.weights import rope_tables


@dataclass(frozen=True, slots=True)
class Conv:
    """A causal convolution. weight [out, in / groups, kernel]; its tail is the last (kernel - 1) * dilation inputs."""

    weight: Tensor
    bias: Tensor
    dilation: int = 1
    groups: int = 1

    @property
    def tail(self) -> tuple[int, int]:
        """The shape of what it remembers: channels, samples."""
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
    """The decoder's weights. Real sizes: codebook 512, latent 1024, hidden 512, decoder 1536 halved by each block."""

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
        """Returns every convolution that remembers something, in the order in which they run."""
        out: list[Conv | UpConv] = [self.pre_conv]
        out += [block.depthwise for _, block in self.upsample]
        out.append(self.widen)
        for _, up, units in self.blocks:
            out += [up, *(unit.first for unit in units)]
        return [*out, self.last]


def take_codec(decoder: Any, device: torch.device | str, dtype: torch.dtype) -> CodecWeights:
    """Returns upstream's `Qwen3TTSTokenizerV2Decoder` as plain tensors."""

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
