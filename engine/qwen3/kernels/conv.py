"""The codec's kernels: each causal convolution is one matrix product, channels last, with what surrounds it fused in.

A convolution's input lies in a buffer [B, context + T, channels] whose first rows are what the slot remembers, so the
kernel knows nothing of slots. A transposed convolution of stride s is one of two taps and s times the channels out:
the row that holds s samples of C channels *is* s rows of C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.kernels.pdl import INTERPRETED

NONE: Final = 0
GELU: Final = 1

if INTERPRETED:

    @triton.jit
    def _sine(x):  # type: ignore[no-untyped-def]
        return tl.sin(x)

else:

    @triton.jit
    def _sine(x):  # type: ignore[no-untyped-def]
        """Returns the special function unit's sine: exact to 2^-20 near 0, where the caller has brought x."""
        return tl.inline_asm_elementwise("sin.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def snake(x, alpha, inverse_beta):  # type: ignore[no-untyped-def]
    """Returns x + sin²(alpha x) / beta. sin² repeats every pi."""
    turns = x * alpha * 0.3183098861837907
    turns -= tl.floor(turns + 0.5)
    s = _sine(turns * 3.141592653589793)
    return x + inverse_beta * s * s


@triton.jit
def _fit(x, place):  # type: ignore[no-untyped-def]
    """Returns x, kept within float16 where that is stored: a loud spot clips and does not turn into infinities."""
    if place.dtype.element_ty == tl.float16:
        x = tl.minimum(tl.maximum(x, -65504.0), 65504.0)
    return x


@triton.jit(do_not_specialize=["M", "T"])
def _conv(  # type: ignore[no-untyped-def]
    inp, weight, bias, res, out, acted, alpha, inverse_beta, M, T, N, dilation_stride,
    in_stride, res_stride, out_stride, acted_stride,
    CIN: tl.constexpr, TAPS: tl.constexpr, CHANNELS: tl.constexpr,
    ACT: tl.constexpr, BIAS: tl.constexpr, RES: tl.constexpr, OUT: tl.constexpr, SNAKE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    kk = tl.arange(0, BK)
    b = (m // T).to(tl.int64)
    t = m % T
    rows = (m < M)[:, None]
    columns = (n < N)[None, :]
    ip = inp + (b * in_stride + t * CIN)[:, None] + kk[None, :]
    wp = weight + n[None, :] * (TAPS * CIN) + kk[:, None]
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, TAPS * CIN, BK):
        if ACROSS:  # a step may begin in one tap and end in the next, and the last one beyond them all
            at = k + kk
            tap = at // CIN
            deep = at < TAPS * CIN
            a = tl.load(ip + (tap * dilation_stride + k - tap * CIN)[None, :], mask=rows & deep[None, :], other=0.0)
            w = tl.load(wp + k, mask=columns & deep[:, None], other=0.0)
        else:
            tap = k // CIN
            a = tl.load(ip + (tap * dilation_stride + k - tap * CIN), mask=rows, other=0.0)
            w = tl.load(wp + k, mask=columns, other=0.0)
        acc = tl.dot(a, w, acc, input_precision="ieee")
    if BIAS:
        acc += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
    if ACT == 1:
        acc = 0.5 * acc * (1 + tl.erf(acc * 0.7071067811865476))
    place = (t * N)[:, None] + n[None, :]
    inside = rows & columns
    if RES:
        acc += tl.load(res + (b * res_stride)[:, None] + place, mask=inside, other=0.0).to(tl.float32)
    if OUT:
        tl.store(out + (b * out_stride)[:, None] + place, _fit(acc, out), mask=inside)
    if SNAKE:
        channel = n % CHANNELS
        f = tl.load(alpha + channel).to(tl.float32)[None, :]
        g = tl.load(inverse_beta + channel).to(tl.float32)[None, :]
        tl.store(acted + (b * acted_stride)[:, None] + place, _fit(snake(acc, f, g), acted), mask=inside)


@triton.jit(do_not_specialize=["T"])
def _depthwise(  # type: ignore[no-untyped-def]
    inp, weight, bias, norm, norm_bias, out, T, in_stride, C: tl.constexpr, CP: tl.constexpr, TAPS: tl.constexpr
):  # fmt: skip
    m = tl.program_id(0)
    b = (m // T).to(tl.int64)
    c = tl.arange(0, CP)
    inside = c < C
    p = inp + b * in_stride + (m % T) * C + c
    acc = tl.load(bias + c, mask=inside, other=0.0).to(tl.float32)
    for tap in tl.static_range(TAPS):
        x = tl.load(p + tap * C, mask=inside, other=0.0).to(tl.float32)
        acc += x * tl.load(weight + tap * C + c, mask=inside, other=0.0).to(tl.float32)
    centered = tl.where(inside, acc - tl.sum(acc, 0) / C, 0.0)
    scaled = centered * tl.rsqrt(tl.sum(centered * centered, 0) / C + 1e-6)
    g = tl.load(norm + c, mask=inside, other=0.0).to(tl.float32)
    h = tl.load(norm_bias + c, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + m * C + c, scaled * g + h, mask=inside)


@triton.jit(do_not_specialize=["M", "T"])
def _last(  # type: ignore[no-untyped-def]
    inp, weight, bias, out, M, T, in_stride,
    C: tl.constexpr, CP: tl.constexpr, TAPS: tl.constexpr, BM: tl.constexpr, INT16: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    c = tl.arange(0, CP)
    inside = (m < M)[:, None] & (c < C)[None, :]
    p = inp + ((m // T).to(tl.int64) * in_stride + (m % T) * C)[:, None] + c[None, :]
    acc = tl.zeros((BM, CP), tl.float32)
    for tap in tl.static_range(TAPS):
        w = tl.load(weight + tap * C + c, mask=c < C, other=0.0).to(tl.float32)
        acc += tl.load(p + tap * C, mask=inside, other=0.0).to(tl.float32) * w[None, :]
    y = tl.sum(acc, 1) + tl.load(bias).to(tl.float32)
    y = tl.minimum(tl.maximum(y, -1.0), 1.0)
    if INT16:
        y = tl.floor(y * 32767.0 + 0.5)
    tl.store(out + m, y, mask=m < M)


@triton.jit(do_not_specialize=["T"])
def _embed(table, codes, out, T, out_stride, CODES: tl.constexpr, SIZE, D: tl.constexpr, DP: tl.constexpr):  # type: ignore[no-untyped-def]
    m = tl.program_id(0)
    d = tl.arange(0, DP)
    acc = tl.zeros((DP,), tl.float32)
    for g in tl.static_range(CODES):
        # A call that has ended leaves a control code behind; its sound is thrown away.
        code = tl.minimum(tl.load(codes + m * CODES + g), SIZE - 1)
        acc += tl.load(table + (g * SIZE + code) * D + d, mask=d < D, other=0.0).to(tl.float32)
    tl.store(out + (m // T).to(tl.int64) * out_stride + (m % T) * D + d, acc, mask=d < D)


@dataclass(frozen=True, slots=True)
class Packed:
    """A convolution or a linear map as a matrix."""

    weight: Tensor  # [out, taps * in]
    bias: Tensor | None  # [out]
    taps: int
    dilation: int
    channels_in: int
    channels: int  # out = channels * the samples that one input makes

    @property
    def context(self) -> int:
        return (self.taps - 1) * self.dilation


@dataclass(frozen=True, slots=True)
class Rows:
    """A product's rows: the memory from the first one on, and the elements from one call's rows to the next call's."""

    data: Tensor
    stride: int


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a product is cut: rows, columns and depth of one step, the warps of a program and the steps in flight."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


def tiles_for(rows: int, outputs: int, depth: int, taps: int) -> Tiles:
    """Returns the tiles of a product of so many rows and columns with so many taps of so many channels in.

    Those of many rows are what `tts_gpu codec` found quickest on an H200.
    """
    power = depth & -depth  # the largest power of two that divides the channels in
    if rows >= 2048:
        if taps == 1 and 128 <= outputs <= 1024 and power >= 64:
            return Tiles(64, 128, 64, 4, 4)
        if taps == 2 and outputs >= 128 and power >= 64:
            return Tiles(128, 128, 64, 4, 3)
        return Tiles(128, min(128, triton.next_power_of_2(outputs)), min(64, power), 8, 3)
    if rows >= 256:
        return Tiles(64, 64, min(64, power), 4, 4)
    return Tiles(16 if rows <= 16 else 64, 16, min(128, power), 4, 4)


def convolve(
    packed: Packed,
    inp: Rows,
    calls: int,
    steps: int,
    *,
    out: Rows | None = None,
    residual: Rows | None = None,
    act: int = NONE,
    snaked: Rows | None = None,
    alpha: Tensor | None = None,
    inverse_beta: Tensor | None = None,
) -> None:
    """Convolves `steps` rows of each of `calls`. Writes the sum, or its snake, or both."""
    rows, outputs, depth = calls * steps, packed.weight.shape[0], packed.channels_in
    tiles = tiles_for(rows, outputs, depth, packed.taps)
    first = out or snaked
    assert first is not None
    unused = first.data
    grid = (triton.cdiv(rows, tiles.rows), triton.cdiv(outputs, tiles.columns))
    launch(_conv, grid)(
        inp.data, packed.weight, unused if packed.bias is None else packed.bias,
        unused if residual is None else residual.data, unused if out is None else out.data,
        unused if snaked is None else snaked.data, unused if alpha is None else alpha,
        unused if inverse_beta is None else inverse_beta, rows, steps, outputs,
        packed.dilation * depth,
        inp.stride, residual.stride if residual else 0, out.stride if out else 0, snaked.stride if snaked else 0,
        CIN=depth, TAPS=packed.taps, CHANNELS=packed.channels if snaked else 1,
        ACT=act, BIAS=packed.bias is not None, RES=residual is not None, OUT=out is not None, SNAKE=snaked is not None,
        BM=tiles.rows, BN=tiles.columns, BK=tiles.depth, ACROSS=depth % tiles.depth != 0,
        num_warps=tiles.warps, num_stages=tiles.stages,
    )  # fmt: skip


def depthwise_norm(
    weight: Tensor, bias: Tensor, norm: Tensor, norm_bias: Tensor, inp: Rows, calls: int, steps: int, out: Tensor
) -> None:
    """Makes a depthwise convolution (weight [taps, C]) and layer norm; out [calls * steps, C]."""
    taps, channels = weight.shape
    launch(_depthwise, (calls * steps,))(
        inp.data, weight, bias, norm, norm_bias, out, steps, inp.stride,
        C=channels, CP=triton.next_power_of_2(channels), TAPS=taps, num_warps=4,
    )  # fmt: skip


def last_convolution(packed: Packed, inp: Rows, calls: int, steps: int, out: Tensor) -> None:
    """Convolves to one channel and clamps it: out [calls, steps], float within -1 and 1 or int16."""
    channels = packed.channels_in
    launch(_last, (triton.cdiv(calls * steps, 32),))(
        inp.data, packed.weight, packed.bias, out, calls * steps, steps, inp.stride,
        C=channels, CP=triton.next_power_of_2(channels), TAPS=packed.taps, BM=32,
        INT16=not out.dtype.is_floating_point, num_warps=4,
    )  # fmt: skip


def embed(table: Tensor, codes: Tensor, out: Rows) -> None:
    """Sums one row of each of the tables [groups, size, D] for codes [B, T, groups] int64."""
    batch, frames, groups = codes.shape
    launch(_embed, (batch * frames,))(
        table, codes, out.data, frames, out.stride, CODES=groups, SIZE=table.shape[1], D=table.shape[2],
        DP=triton.next_power_of_2(table.shape[2]), num_warps=4,
    )  # fmt: skip
