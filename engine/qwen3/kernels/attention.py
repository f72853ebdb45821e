"""The attention of a frame: QK-norm, rotary embedding, the write into the cache and the attention, in one kernel.

Only positions that are filled are read. With few rows a kernel's time is one memory access after the other. So there a
program has one query head, and few warps that have to agree; what the cache holds is fetched before the program waits
for its input; and a talker row's positions are split over several programs, the last of which puts the parts together.
"""

from __future__ import annotations

from typing import Final

import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.kernels.pdl import follow, options
from engine.qwen3.model.paged_kv import PAGE, UNIT

DOT_ROWS: Final = 16
"""The rows from which on reading the cache takes the time: the matrix units' pipelined loads read it faster."""
BLOCK: Final = 32
DOT_BLOCK: Final = 64
FEW_BLOCK: Final = 16
"""The positions read at a time: without the matrix units, with them, and all of the predictor's."""


@triton.jit
def _gains(norm, cs, sn, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """Returns a norm's gains with the rotation in them: the factors of an element and of the other one of its pair."""
    d = tl.arange(0, D)
    return tl.load(norm + d).to(tl.float32) * cs, tl.load(norm + (d + D // 2) % D).to(tl.float32) * sn


@triton.jit
def _turned(head, gain, gain_other, eps, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """Returns one head [D], normed and rotated."""
    d = tl.arange(0, D)
    x = tl.load(head + d).to(tl.float32)
    x_other = tl.load(head + (d + D // 2) % D).to(tl.float32)
    return (x * gain + x_other * gain_other) * tl.rsqrt(tl.sum(x * x, 0) / D + eps)


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    qkv, q_norm, k_norm, cos, sin, eps, position, slot, kv, table, parts, counters, out,
    width, head_stride, value_offset,
    HEADS: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr, UNIT: tl.constexpr,
    BLOCK: tl.constexpr, SPLIT: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0)
    b = tl.program_id(1)
    part = tl.program_id(2)
    group: tl.constexpr = HEADS // KV
    h = n // group
    s = tl.load(slot + b).to(tl.int64)
    at = tl.load(position + s)
    d = tl.arange(0, D)
    cs = tl.load(cos + at * D + d)
    sn = tl.load(sin + at * D + d) * tl.where(d < D // 2, -1.0, 1.0)
    q_gain, q_gain_other = _gains(q_norm, cs, sn, D)
    k_gain, k_gain_other = _gains(k_norm, cs, sn, D)
    kv += h * head_stride
    table += s * width
    per = tl.cdiv(tl.cdiv(at, SPLIT), BLOCK) * BLOCK
    begin = part * per
    end = tl.minimum(begin + per, at)
    i = tl.arange(0, BLOCK)
    # Written in frames that have long ended: a frame's first kernel waits for all before it.
    keys = kv + tl.load(table + begin // PAGE, mask=begin < end, other=0) * UNIT + begin % PAGE * D
    kt = tl.load(keys + i[:, None] * D + d[None, :], mask=(begin + i < end)[:, None], other=0.0)
    vt = tl.load(keys + value_offset + i[:, None] * D + d[None, :], mask=(begin + i < end)[:, None], other=0.0)
    follow(PDL, False)
    row = qkv + b * (HEADS + 2 * KV) * D
    q = _turned(row + n * D, q_gain, q_gain_other, eps, D) * (D**-0.5)
    k = _turned(row + (HEADS + h) * D, k_gain, k_gain_other, eps, D)
    v = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
    last = part == SPLIT - 1
    if last & (n % group == 0):
        own = kv + tl.load(table + at // PAGE) * UNIT + at % PAGE * D
        tl.store(own + d, k)
        tl.store(own + value_offset + d, v)
    # The last part begins with the position that is being written; the cache is read up to it.
    m = tl.where(last, tl.sum(q * k, 0), -1e30)
    total = tl.where(last, 1.0, 0.0)
    a = tl.where(last, v, 0.0)
    for start in range(begin, end, BLOCK):
        score = tl.where(start + i < end, tl.sum(kt.to(tl.float32) * q[None, :], 1), -1e30)
        top = tl.maximum(m, tl.max(score, 0))
        old = tl.exp(m - top)
        p = tl.where(start + i < end, tl.exp(score - top), 0.0)
        total = total * old + tl.sum(p, 0)
        a = a * old + tl.sum(p[:, None] * vt.to(tl.float32), 0)
        m = top
        after = start + BLOCK
        keys = kv + tl.load(table + after // PAGE, mask=after < end, other=0) * UNIT + after % PAGE * D
        kt = tl.load(keys + i[:, None] * D + d[None, :], mask=(after + i < end)[:, None], other=0.0)
        vt = tl.load(keys + value_offset + i[:, None] * D + d[None, :], mask=(after + i < end)[:, None], other=0.0)
    n += b * HEADS
    place = parts + (n * SPLIT + part) * (D + 2)
    tl.store(place + d, a)
    tl.store(place + D, m)
    tl.store(place + D + 1, total)
    tl.debug_barrier()
    done = tl.atomic_add(counters + n, 1, sem="acq_rel")
    if done == SPLIT - 1:
        tl.store(counters + n, 0)
        places = parts + (n * SPLIT + tl.arange(0, SPLIT)) * (D + 2)
        tops = tl.load(places + D, cache_modifier=".cg")
        sums = tl.load(places + D + 1, cache_modifier=".cg")
        whole = tl.load(places[:, None] + d[None, :], cache_modifier=".cg")
        share = tl.exp(tops - tl.max(tops, 0))
        tl.store(out + n * D + d, tl.sum(whole * share[:, None], 0) / tl.sum(sums * share, 0))


@triton.jit
def _attend_dot(  # type: ignore[no-untyped-def]
    qkv, q_norm, k_norm, cos, sin, eps, position, slot, kv, table, out, width, head_stride, value_offset,
    HEADS: tl.constexpr, KV: tl.constexpr, G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr,
    UNIT: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0)
    b = tl.program_id(1)
    s = tl.load(slot + b).to(tl.int64)
    at = tl.load(position + s)
    g = tl.arange(0, GP)
    i = tl.arange(0, BLOCK)
    d = tl.arange(0, D)
    other = (d + D // 2) % D
    live = (g < G)[:, None]
    cs = tl.load(cos + at * D + d)
    sn = tl.load(sin + at * D + d) * tl.where(d < D // 2, -1.0, 1.0)
    q_gain, q_gain_other = _gains(q_norm, cs, sn, D)
    k_gain, k_gain_other = _gains(k_norm, cs, sn, D)
    row = qkv + b * (HEADS + 2 * KV) * D
    follow(PDL, False)
    head = row + (h * G + g)[:, None] * D
    q = tl.load(head + d[None, :], mask=live, other=0.0).to(tl.float32)
    q_other = tl.load(head + other[None, :], mask=live, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(q * q, 1) / D + eps) * (D**-0.5)
    q = (q * q_gain[None, :] + q_other * q_gain_other[None, :]) * scale[:, None]
    k = _turned(row + (HEADS + h) * D, k_gain, k_gain_other, eps, D)
    v = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
    kv += h * head_stride
    table += s * width
    own = kv + tl.load(table + at // PAGE) * UNIT + at % PAGE * D
    tl.store(own + d, k)
    tl.store(own + value_offset + d, v)
    # It begins with the position that is being written; the cache is read up to it.
    m = tl.sum(q * k[None, :], 1)
    total = tl.full((GP,), 1.0, tl.float32)
    a = v[None, :] + q * 0
    for start in range(0, at, BLOCK):
        keys = kv + tl.load(table + start // PAGE) * UNIT + start % PAGE * D
        seen = start + i < at
        kt = tl.load(keys + i[None, :] * D + d[:, None], mask=seen[None, :], other=0.0)
        vt = tl.load(keys + value_offset + i[:, None] * D + d[None, :], mask=seen[:, None], other=0.0)
        score = tl.where(seen[None, :], tl.dot(q.to(kt.dtype), kt, input_precision="ieee"), -1e30)
        top = tl.maximum(m, tl.max(score, 1))
        old = tl.exp(m - top)
        p = tl.where(seen[None, :], tl.exp(score - top[:, None]), 0.0)
        total = total * old + tl.sum(p, 1)
        a = a * old[:, None] + tl.dot(p.to(vt.dtype), vt, input_precision="ieee")
        m = top
    n = b * HEADS + h * G + g
    tl.store(out + n[:, None] * D + d[None, :], a / total[:, None], mask=live)


@triton.jit(do_not_specialize=["at"])
def _attend_few(  # type: ignore[no-untyped-def]
    qkv, q_norm, k_norm, cos, sin, eps, at, kv, out, rows, slot_stride, head_stride, value_offset,
    HEADS: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, PAIR: tl.constexpr,
    EARLY: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0)
    b = tl.program_id(1)
    group: tl.constexpr = HEADS // KV
    width: tl.constexpr = (HEADS + 2 * KV) * D
    h = n // group
    d = tl.arange(0, D)
    j = tl.arange(0, BLOCK)
    past = j < at
    cs = tl.load(cos + at * D + d)
    sn = tl.load(sin + at * D + d) * tl.where(d < D // 2, -1.0, 1.0)
    q_gain, q_gain_other = _gains(q_norm, cs, sn, D)
    k_gain, k_gain_other = _gains(k_norm, cs, sn, D)
    keys = kv + b.to(tl.int64) * slot_stride + h * head_stride
    values = keys + value_offset
    if EARLY and not PAIR:
        kt = tl.load(keys + j[:, None] * D + d[None, :], mask=past[:, None], other=0.0)
        vt = tl.load(values + j[:, None] * D + d[None, :], mask=past[:, None], other=0.0)
    follow(PDL, False)
    row = qkv + b * width
    if PAIR:  # row b is position 0 and row `rows` + b position 1: nothing is in the cache yet
        k0_gain = tl.load(k_norm + d).to(tl.float32)  # position 0 is not turned
        k0 = _turned(row + (HEADS + h) * D, k0_gain, 0.0, eps, D)
        v0 = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
        row += rows * width
    elif not EARLY:
        kt = tl.load(keys + j[:, None] * D + d[None, :], mask=past[:, None], other=0.0)
        vt = tl.load(values + j[:, None] * D + d[None, :], mask=past[:, None], other=0.0)
    q = _turned(row + n * D, q_gain, q_gain_other, eps, D) * (D**-0.5)
    k = _turned(row + (HEADS + h) * D, k_gain, k_gain_other, eps, D)
    v = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
    if n % group == 0:
        tl.store(keys + at * D + d, k)
        tl.store(values + at * D + d, v)
        if PAIR:
            tl.store(keys + d, k0)
            tl.store(values + d, v0)
    own = tl.sum(q * k, 0)
    if PAIR:
        # Position 0 sees itself alone.
        tl.store(out + (b * HEADS + n) * D + d, v0)
        share = 1 / (1 + tl.exp(tl.sum(q * k0, 0) - own))
        tl.store(out + ((rows + b) * HEADS + n) * D + d, v0 + (v - v0) * share)
    else:
        score = tl.where(past, tl.sum(kt.to(tl.float32) * q[None, :], 1), -1e30)
        top = tl.maximum(own, tl.max(score, 0))
        p = tl.exp(score - top)
        f = tl.exp(own - top)
        a = tl.sum(p[:, None] * vt.to(tl.float32), 0) + v * f
        tl.store(out + (b * HEADS + n) * D + d, a / (tl.sum(p, 0) + f))


def attend(
    qkv: Tensor,
    q_norm: Tensor,
    k_norm: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    position: Tensor,
    slot: Tensor,
    kv: Tensor,
    table: Tensor,
    parts: Tensor,
    counters: Tensor,
    out: Tensor,
    split: int,
    pdl: bool = False,
) -> None:
    """Attends from one new position of each of B rows, each at a place of its own.

    qkv [B, (heads + 2 kv_heads) * D]; position [slots] int64: where each slot's new position goes; slot [B] int64; kv
    [2, …, kv_heads, positions, D], where one layer's cache begins, which no kernel of this frame has written; table
    [slots, pages]: how far behind it each page of PAGE positions begins, in units of UNIT elements; out [B, heads * D].
    With fewer rows than DOT_ROWS, `split` programs share a row's positions; for them `parts` float32
    with room for B * heads * split * (D + 2) and `counters` int32 [B * heads], zero between calls, are scratch.
    """
    batch = out.shape[0]
    kv_heads, head_dim = kv.shape[-3], kv.shape[-1]
    heads = out.shape[1] // head_dim
    group = heads // kv_heads
    operands = (qkv, q_norm, k_norm, cos, sin, eps, position, slot, kv, table)
    strides = (table.stride(0), kv.stride(-3), kv.stride(0))
    if batch >= DOT_ROWS:
        # A page has to be looked up before it can be read: one stage more, where shared memory is large.
        launch(_attend_dot, (kv_heads, batch))(
            *operands, out, *strides, HEADS=heads, KV=kv_heads, G=group, GP=max(16, group), D=head_dim,
            PAGE=PAGE, UNIT=UNIT, BLOCK=DOT_BLOCK, PDL=pdl, num_warps=4, num_stages=3 if pdl else 2, **options(pdl),
        )  # fmt: skip
    else:
        launch(_attend, (heads, batch, split))(
            *operands, parts, counters, out, *strides, HEADS=heads, KV=kv_heads, D=head_dim,
            PAGE=PAGE, UNIT=UNIT, BLOCK=BLOCK, SPLIT=split, PDL=pdl, num_warps=2, **options(pdl),
        )  # fmt: skip


def attend_few(
    qkv: Tensor,
    q_norm: Tensor,
    k_norm: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    at: int,
    kv: Tensor,
    out: Tensor,
    pair: bool = False,
    pdl: bool = False,
    early: bool = False,
) -> None:
    """Attends from one new position, the same for all B rows and below 16; row b's cache is slot b.

    With `pair`, qkv and out hold 2B rows, all rows' position 0 before all rows' position 1, and `at` is 1. `early`: the
    last call before this one wrote another cache, so this one may be read while kernels before this one still run.
    """
    batch = out.shape[0] // (2 if pair else 1)
    kv_heads, head_dim = kv.shape[2], kv.shape[4]
    heads = out.shape[1] // head_dim
    launch(_attend_few, (heads, batch))(
        qkv, q_norm, k_norm, cos, sin, eps, at, kv, out, batch, kv.stride(1), kv.stride(2), kv.stride(0),
        HEADS=heads, KV=kv_heads, D=head_dim, BLOCK=FEW_BLOCK, PAIR=pair, EARLY=early, PDL=pdl,
        num_warps=1, **options(pdl),
    )  # fmt: skip
