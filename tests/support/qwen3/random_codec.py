"""A codec decoder of the true sizes with weights drawn at random, for benchmarks and kernel tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.qwen3.model.codec_weights import CodecLayer, CodecWeights, Conv, ConvNext, ResidualUnit, Snake, UpConv
from engine.qwen3.model.weights import rope_tables


@dataclass(frozen=True, slots=True)
class CodecSize:
    codebook: int = 512
    latent: int = 1024
    hidden: int = 512
    intermediate: int = 1024
    heads: int = 16
    head_dim: int = 64
    layers: int = 8
    decoder: int = 1536
    upsample: tuple[int, ...] = (2, 2)
    rates: tuple[int, ...] = (8, 5, 4, 3)
    window: int = 72
    codes: int = 2048
    groups: int = 16


class _Source:
    """Spreads that keep signals near 1 through every layer."""

    def __init__(self, device: torch.device | str, dtype: torch.dtype, seed: int) -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        self._device, self._dtype = device, dtype

    def normal(self, *shape: int, std: float) -> Tensor:
        # Drawn in float32 whatever the format, so that all formats get the same weights.
        wide = torch.empty(shape, device=self._device).normal_(std=std, generator=self._generator)
        return wide.to(self._dtype)

    def linear(self, out: int, inp: int, gain: float = 1.0) -> Tensor:
        return self.normal(out, inp, std=gain / math.sqrt(inp))

    def affine(self, out: int, inp: int) -> tuple[Tensor, Tensor]:
        return self.linear(out, inp), self.normal(out, std=0.02)

    def norm(self, size: int) -> Tensor:
        return 1 + self.normal(size, std=0.1)

    def conv(self, out: int, inp: int, kernel: int, dilation: int = 1, groups: int = 1, gain: float = 1.0) -> Conv:
        width = inp // groups
        weight = self.normal(out, width, kernel, std=gain / math.sqrt(width * kernel))
        return Conv(weight, self.normal(out, std=0.02), dilation, groups)

    def up(self, inp: int, out: int, kernel: int, stride: int) -> UpConv:
        weight = self.normal(inp, out, kernel, std=1 / math.sqrt(inp * kernel / stride))
        return UpConv(weight, self.normal(out, std=0.02), stride)

    def snake(self, channels: int) -> Snake:
        return Snake(self.normal(1, channels, 1, std=0.3).exp(), self.normal(1, channels, 1, std=0.3).exp())


def random_codec(
    device: torch.device | str, dtype: torch.dtype, size: CodecSize | None = None, seed: int = 0
) -> CodecWeights:
    """Returns a codec with the same signal path in every dtype for the same seed."""
    size = size or CodecSize()
    source = _Source(device, dtype, seed)
    width, hidden, latent = size.heads * size.head_dim, size.hidden, size.latent
    layers = tuple(
        CodecLayer(
            input_norm=source.norm(hidden),
            qkv=source.linear(3 * width, hidden),
            o=source.linear(hidden, width, 0.3),
            post_norm=source.norm(hidden),
            gate_up=source.linear(2 * size.intermediate, hidden),
            down=source.linear(hidden, size.intermediate, 0.3),
        )
        for _ in range(size.layers)
    )
    upsample = tuple(
        (
            source.up(latent, latent, factor, factor),
            ConvNext(
                source.conv(latent, latent, 7, groups=latent),
                (source.norm(latent), source.normal(latent, std=0.1)),
                source.affine(4 * latent, latent),
                source.affine(latent, 4 * latent),
            ),
        )
        for factor in size.upsample
    )
    blocks, channels = [], size.decoder
    for rate in size.rates:
        out = channels // 2
        units = tuple(
            ResidualUnit(
                source.snake(out), source.conv(out, out, 7, dilation), source.snake(out),
                source.conv(out, out, 1, gain=0.3),
            )
            for dilation in (1, 3, 9)
        )  # fmt: skip
        blocks.append((source.snake(channels), source.up(channels, out, 2 * rate, rate), units))
        channels = out
    cos, sin = rope_tables(4096, size.head_dim, 1e4, device)
    half = size.codebook // 2
    return CodecWeights(
        codebooks=source.normal(size.groups, size.codes, half, std=0.3),
        project=source.normal(2, size.codebook, half, std=1 / math.sqrt(half)),
        pre_conv=source.conv(latent, size.codebook, 3),
        input=source.affine(hidden, latent),
        layers=layers,
        norm=source.norm(hidden),
        output=source.affine(latent, hidden),
        heads=size.heads,
        head_dim=size.head_dim,
        eps=1e-5,
        window=size.window,
        cos=cos,
        sin=sin,
        upsample=upsample,
        widen=source.conv(size.decoder, latent, 7),
        blocks=tuple(blocks),
        last_snake=source.snake(channels),
        last=source.conv(1, channels, 7, gain=0.2),
    )
