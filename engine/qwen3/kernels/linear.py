"""The matrix products of a frame: each weight is read once for the whole batch, and what surrounds it is fused in.

`out = matrix(norm(x))`, `out = silu(gate(norm(x))) * up(norm(x))` and `out += matrix(x)`, over weights in bfloat16,
int8 or float8 with one scale a row. Two kernels: `_rows` for up to 8 rows multiplies in ordinary registers, a block of
weight rows a program, fetched whole before the program waits for its input; `_slices` uses the matrix units, each warp
of a program on a slice of every input: alone a program's few weight rows would wait for memory at each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.kernels.pdl import follow, options

PREFETCH: Final = tl.constexpr("prefetch.global.L2 [$1]; mov.u32 $0, 0;")
WARP_ELEMENTS: Final = 4096
"""The weights, widened to float32, that a warp's registers hold beside all else."""
FEW_OUTPUTS: Final = 1024
"""Up to so many outputs, programs with the usual number of weight rows would leave half of a large GPU idle."""
SMALLEST_K: Final = 16
"""The smallest inner dimension of a product on the matrix units."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How one product is cut up. `block_m` 0 means `_rows`."""

    block_m: int
    block_n: int
    block_k: int = 0
    warps: int = 4
    stages: int = 3


@triton.jit
def _widen(w):  # type: ignore[no-untyped-def]
    """Returns weights as float32. An int8 is put into the mantissa of 2^23, and 2^23 is taken off again: the converter
    proper does 16 a cycle, these instructions do 64 and more."""
    if w.dtype == tl.int8:
        return ((w.to(tl.int32) + 128) | 0x4B000000).to(tl.float32, bitcast=True) - 8388736.0
    return w.to(tl.float32)


@triton.jit
def _rows(  # type: ignore[no-untyped-def]
    x, norm, weight, scale, bias, out, eps, N,
    K: tl.constexpr, KP: tl.constexpr, B: tl.constexpr, BP: tl.constexpr, BN: tl.constexpr,
    NORM: tl.constexpr, GATE: tl.constexpr, ADD: tl.constexpr, SCALED: tl.constexpr, BIAS: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    r = tl.program_id(0) * BN + tl.arange(0, BN)
    c = tl.arange(0, KP)
    inside = (c < K)[None, :] & (r < N)[:, None]
    w = tl.load(weight + r[:, None] * K + c[None, :], mask=inside, other=0.0)
    if GATE:
        u = tl.load(weight + (r + N)[:, None] * K + c[None, :], mask=inside, other=0.0)
    if NORM:
        g = tl.load(norm + c, mask=c < K, other=0.0).to(tl.float32)
    if SCALED:
        factor = tl.load(scale + r, mask=r < N, other=0.0).to(tl.float32)
        if GATE:
            factor2 = tl.load(scale + N + r, mask=r < N, other=0.0).to(tl.float32)
    if BIAS:
        offset = tl.load(bias + r, mask=r < N, other=0.0).to(tl.float32)
    follow(PDL, True)
    if NORM:
        # Applied to the products: so neither sum waits for the other.
        q = tl.arange(0, BP)
        rows = tl.load(x + q[:, None] * K + c[None, :], mask=(q < B)[:, None] & (c < K)[None, :], other=0.0)
        rows = rows.to(tl.float32)
        inverses = tl.rsqrt(tl.sum(rows * rows, 1) / K + eps)
    for b in tl.static_range(B):
        v = tl.load(x + b * K + c, mask=c < K, other=0.0).to(tl.float32)
        if ADD:
            before = tl.load(out + b * N + r, mask=r < N, other=0.0).to(tl.float32)
        if NORM:
            v = v * g
            inverse = tl.sum(tl.where(q == b, inverses, 0.0), 0)
        a = tl.sum(_widen(w) * v[None, :], 1)
        if NORM:
            a = a * inverse
        if SCALED:
            a = a * factor
        if BIAS:
            a += offset
        if GATE:
            t = tl.sum(_widen(u) * v[None, :], 1)
            if NORM:
                t = t * inverse
            if SCALED:
                t = t * factor2
            a = a / (1 + tl.exp(-a)) * t
        if ADD:
            a += before
        tl.store(out + b * N + r, a, mask=r < N)


@triton.jit
def _slices(  # type: ignore[no-untyped-def]
    x, norm, weight, scale, bias, out, eps, M, N,
    K: tl.constexpr, S: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    NORM: tl.constexpr, GATE: tl.constexpr, ADD: tl.constexpr, SCALED: tl.constexpr, BIAS: tl.constexpr,
    PDL: tl.constexpr, LINES: tl.constexpr, LINE: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    r = tl.program_id(0) * BN + tl.arange(0, BN)
    c = tl.arange(0, S)[:, None] * BK + tl.arange(0, BK)[None, :]  # each warp's share of a step
    rows = (m < M)[None, :, None]
    xp = x + m[None, :, None] * K + c[:, None, :]
    wp = weight + tl.minimum(r, N - 1)[None, None, :] * K + c[:, :, None]
    if PDL:  # what this program will read of the weights, on its way to the L2 while the kernel before it ends
        lines = tl.minimum(tl.arange(0, LINES), tl.cdiv(K, LINE) - 1) * LINE
        p = (weight + tl.minimum(r, N - 1)[:, None] * K + lines[None, :]).to(tl.int64)
        tl.inline_asm_elementwise(PREFETCH, "=r,l", [p], dtype=tl.int32, is_pure=False, pack=1)
        if GATE:
            p += N * K * (128 // LINE)
            tl.inline_asm_elementwise(PREFETCH, "=r,l", [p], dtype=tl.int32, is_pure=False, pack=1)
    follow(PDL, True)
    acc = tl.zeros((S, BM, BN), tl.float32)
    if GATE:
        acc2 = tl.zeros((S, BM, BN), tl.float32)
    if NORM:
        squares = tl.zeros((S, BM), tl.float32)
    for k in range(0, K, S * BK):
        v = tl.load(xp + k, mask=rows, other=0.0)
        if NORM:
            wide = v.to(tl.float32)
            squares += tl.sum(wide * wide, 2)
            v = (wide * tl.load(norm + k + c).to(tl.float32)[:, None, :]).to(v.dtype)
        w = tl.load(wp + k).to(v.dtype)
        acc = tl.dot(v, w, acc, input_precision="ieee")
        if GATE:
            u = tl.load(wp + k + N * K).to(v.dtype)
            acc2 = tl.dot(v, u, acc2, input_precision="ieee")
    y = tl.sum(acc, 0)
    if GATE:
        z = tl.sum(acc2, 0)
    if NORM:
        inverse = tl.rsqrt(tl.sum(squares, 0) / K + eps)[:, None]
        y = y * inverse
        if GATE:
            z = z * inverse
    if SCALED:
        y = y * tl.load(scale + r, mask=r < N, other=0.0).to(tl.float32)[None, :]
        if GATE:
            z = z * tl.load(scale + N + r, mask=r < N, other=0.0).to(tl.float32)[None, :]
    if BIAS:
        y += tl.load(bias + r, mask=r < N, other=0.0).to(tl.float32)[None, :]
    if GATE:
        y = y / (1 + tl.exp(-y)) * z
    place = out + m[:, None] * N + r[None, :]
    inside = (m < M)[:, None] & (r < N)[None, :]
    if ADD:
        y += tl.load(place, mask=inside, other=0.0).to(tl.float32)
    tl.store(place, y, mask=inside)


def rows_tiling(inputs: int, gate: bool, elements: int, warps: int) -> Tiling:
    """Returns the tiling for `_rows`: as many weight rows a program as have so many elements, at least one."""
    padded = triton.next_power_of_2(inputs)
    block_n = max(1, min(32, elements // padded))
    warps = max(warps, block_n * padded // WARP_ELEMENTS)
    return Tiling(0, max(1, block_n // 2) if gate else block_n, warps=warps)


def slices_tiling(rows: int, outputs: int, gate: bool, block_n: int, block_k: int, warps: int, stages: int) -> Tiling:
    """Returns the tiling for `_slices`: half as many weight rows a program where there are few, or two matrices."""
    block_m = min(64, max(16, triton.next_power_of_2(rows)))
    return Tiling(block_m, block_n // 2 if gate or outputs <= FEW_OUTPUTS else block_n, block_k, warps, stages)


def linear(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    *,
    norm: Tensor | None = None,
    eps: float = 1e-6,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    gate: bool = False,
    add: bool = False,
    pdl: bool = False,
    tiling: Tiling,
) -> None:
    """Makes one product. x [B, K] contiguous; weight [N, K], or [2N, K] with `gate` (gate rows first); out [B, N].

    `norm` [K] applies a root-mean-square norm to x first; `scale` [rows of weight] multiplies each output; `add`
    adds to what `out` holds.
    """
    batch, inputs = x.shape
    outputs = out.shape[1]
    flags: dict[str, Any] = {
        "NORM": norm is not None, "GATE": gate, "ADD": add, "SCALED": scale is not None, "BIAS": bias is not None,
        "PDL": pdl, "num_warps": tiling.warps, **options(pdl),
    }  # fmt: skip
    operands = (x, x if norm is None else norm, weight, x if scale is None else scale, x if bias is None else bias, out)
    if tiling.block_m == 0:
        programs = triton.cdiv(outputs, tiling.block_n)
        padded = triton.next_power_of_2(inputs)
        launch(_rows, (programs,))(
            *operands, eps, outputs, K=inputs, KP=padded, B=batch, BP=triton.next_power_of_2(batch), BN=tiling.block_n,
            **flags,
        )  # fmt: skip
    else:
        grid = (triton.cdiv(outputs, tiling.block_n), triton.cdiv(batch, tiling.block_m))
        line = 128 // weight.element_size()  # elements of one cache line
        # Powers of two that divide the inputs.
        slices = max(1, min(tiling.warps, (inputs & -inputs) // SMALLEST_K))
        block_k = min(tiling.block_k, (inputs & -inputs) // slices)
        launch(_slices, grid)(
            *operands, eps, batch, outputs, K=inputs, S=slices, BM=tiling.block_m, BN=tiling.block_n, BK=block_k,
            LINES=triton.next_power_of_2(triton.cdiv(inputs, line)), LINE=line, num_stages=tiling.stages, **flags,
        )  # fmt: skip


@triton.jit
def _rms(x, norm, out, eps, H: tl.constexpr, HP: tl.constexpr, PDL: tl.constexpr):  # type: ignore[no-untyped-def]
    b = tl.program_id(0)
    c = tl.arange(0, HP)
    g = tl.load(norm + c, mask=c < H, other=0.0).to(tl.float32)
    follow(PDL, True)
    v = tl.load(x + b * H + c, mask=c < H, other=0.0).to(tl.float32)
    tl.store(out + b * H + c, v * tl.rsqrt(tl.sum(v * v, 0) / H + eps) * g, mask=c < H)


@triton.jit
def _silu_mul(gate_up, out, size, BLOCK: tl.constexpr, PDL: tl.constexpr):  # type: ignore[no-untyped-def]
    b = tl.program_id(0)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    follow(PDL, True)
    g = tl.load(gate_up + b * 2 * size + c, mask=c < size, other=0.0).to(tl.float32)
    u = tl.load(gate_up + b * 2 * size + size + c, mask=c < size, other=0.0).to(tl.float32)
    tl.store(out + b * size + c, g / (1 + tl.exp(-g)) * u, mask=c < size)


@triton.jit
def _dense(weight, scale, out, N, K, BN: tl.constexpr, BK: tl.constexpr):  # type: ignore[no-untyped-def]
    r = tl.program_id(0) * BN + tl.arange(0, BN)
    c = tl.program_id(1) * BK + tl.arange(0, BK)
    inside = (r < N)[:, None] & (c < K)[None, :]
    place = r[:, None] * K + c[None, :]
    factor = tl.load(scale + r, mask=r < N, other=0.0).to(tl.float32)[:, None]
    tl.store(out + place, _widen(tl.load(weight + place, mask=inside, other=0.0)) * factor, mask=inside)


def dense(weight: Tensor, scale: Tensor, out: Tensor) -> None:
    """Writes out [N, K] = weight * scale [N]: an 8-bit matrix as the vendor's products take it, for large batches."""
    outputs, inputs = weight.shape
    launch(_dense, (triton.cdiv(outputs, 8), triton.cdiv(inputs, 512)))(
        weight, scale, out, outputs, inputs, BN=8, BK=512, num_warps=4
    )


def rms_norm(x: Tensor, norm: Tensor, out: Tensor, eps: float, pdl: bool = False) -> None:
    """Writes the norm of x [B, H] to out [B, H]: for large batches, whose products are the vendor's."""
    rows, hidden = x.shape
    launch(_rms, (rows,))(
        x, norm, out, eps, H=hidden, HP=triton.next_power_of_2(hidden), PDL=pdl, num_warps=4, **options(pdl)
    )


def silu_mul(gate_up: Tensor, out: Tensor, pdl: bool = False) -> None:
    """Writes out [B, I] = silu(gate) * up, from gate_up [B, 2I]."""
    rows, inner = out.shape
    launch(_silu_mul, (rows, triton.cdiv(inner, 1024)))(
        gate_up, out, inner, BLOCK=1024, PDL=pdl, num_warps=4, **options(pdl)
    )
