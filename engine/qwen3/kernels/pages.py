"""Copies one slot's keys and values between its pages and a tensor without gaps, which plain attention works on."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.model.paged_kv import PAGE, UNIT


@triton.jit(do_not_specialize=["length"])
def _gather(  # type: ignore[no-untyped-def]
    kv, table, slot, dense, length, width, head_stride, value_offset,
    KV: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    page, h, which = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    j = tl.arange(0, PAGE)
    d = tl.arange(0, D)
    s = tl.load(slot).to(tl.int64)
    begin = kv + tl.load(table + s * width + page) * UNIT + which * value_offset + h * head_stride
    here = page * PAGE + j
    there = (here < length)[:, None]
    row = (which * KV + h) * length + here
    tl.store(
        dense + row[:, None] * D + d[None, :], tl.load(begin + j[:, None] * D + d[None, :], mask=there), mask=there
    )


@triton.jit(do_not_specialize=["length"])
def _scatter(  # type: ignore[no-untyped-def]
    kv, table, slot, start, dense, length, width, head_stride, value_offset,
    KV: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    h, which = tl.program_id(1), tl.program_id(2)
    d = tl.arange(0, D)
    s = tl.load(slot).to(tl.int64)
    at = tl.minimum(tl.load(start) + tl.program_id(0), length - 1)
    begin = kv + tl.load(table + s * width + at // PAGE) * UNIT + which * value_offset + h * head_stride
    tl.store(begin + at % PAGE * D + d, tl.load(dense + ((which * KV + h) * length + at) * D + d))


def gather(kv: Tensor, table: Tensor, slot: Tensor, dense: Tensor) -> None:
    """Copies a slot's first positions, whatever lies there. slot [1]; dense [2, kv_heads, positions, D]."""
    _, kv_heads, length, head_dim = dense.shape
    launch(_gather, (-(-length // PAGE), kv_heads, 2))(
        kv, table, slot, dense, length, table.stride(0), kv.stride(-3), kv.stride(0),
        KV=kv_heads, D=head_dim, PAGE=PAGE, UNIT=UNIT, num_warps=4,
    )  # fmt: skip


def scatter(kv: Tensor, table: Tensor, slot: Tensor, start: Tensor, dense: Tensor, positions: int) -> None:
    """Copies so many positions back, from `start` [1] on, but none behind dense's last."""
    _, kv_heads, length, head_dim = dense.shape
    launch(_scatter, (positions, kv_heads, 2))(
        kv, table, slot, start, dense, length, table.stride(0), kv.stride(-3), kv.stride(0),
        KV=kv_heads, D=head_dim, PAGE=PAGE, UNIT=UNIT, num_warps=1,
    )  # fmt: skip
