"""Attention of a decode step: QK-norm, rotary embedding, the write into the cache and the attention, in one kernel.

Only positions that are filled are read. A talker row's positions may be split over several programs; the one that ends
last puts the parts together.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.kernels.pdl import follow, options

BLOCK = 64  # positions read at a time
DOT_ROWS = 16
"""From this many rows on, reading the cache takes the time, and the matrix units' pipelined loads read it faster."""


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    qkv, q_norm, k_norm, cos, sin, eps, position, slot, kv, parts, counters, out,
    slot_stride, head_stride, value_offset,
    HEADS: tl.constexpr, KV: tl.constexpr, G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr,
    SPLIT: tl.constexpr, DOT: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0)
    b = tl.program_id(1)
    part = tl.program_id(2)
    s = tl.load(slot + b).to(tl.int64)
    at = tl.load(position + s)
    g = tl.arange(0, GP)
    d = tl.arange(0, D)
    other = (d + D // 2) % D
    live = (g < G)[:, None]
    cs = tl.load(cos + at * D + d)
    sn = tl.load(sin + at * D + d) * tl.where(d < D // 2, -1.0, 1.0)
    qn = tl.load(q_norm + d).to(tl.float32) * cs
    qn_other = tl.load(q_norm + other).to(tl.float32) * sn
    kn = tl.load(k_norm + d).to(tl.float32) * cs
    kn_other = tl.load(k_norm + other).to(tl.float32) * sn
    row = qkv + b * (HEADS + 2 * KV) * D
    follow(PDL, False)
    head = row + (h * G + g)[:, None] * D
    q = tl.load(head + d[None, :], mask=live, other=0.0).to(tl.float32)
    q_other = tl.load(head + other[None, :], mask=live, other=0.0).to(tl.float32)
    k = tl.load(row + (HEADS + h) * D + d).to(tl.float32)
    k_other = tl.load(row + (HEADS + h) * D + other).to(tl.float32)
    v = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
    scale = tl.rsqrt(tl.sum(q * q, 1) / D + eps) * (D**-0.5)
    q = (q * qn[None, :] + q_other * qn_other[None, :]) * scale[:, None]
    k = (k * kn + k_other * kn_other) * tl.rsqrt(tl.sum(k * k, 0) / D + eps)
    keys = kv + s * slot_stride + h * head_stride
    values = keys + value_offset
    per = tl.cdiv(tl.cdiv(at, SPLIT), BLOCK) * BLOCK if SPLIT > 1 else at
    begin = part * per
    end = tl.minimum(begin + per, at)
    last = part == SPLIT - 1
    if last:
        tl.store(keys + at * D + d, k)
        tl.store(values + at * D + d, v)
    # The last part begins with the position that is being written; the cache is read up to it.
    m = tl.where(last, tl.sum(q * k[None, :], 1), -1e30)
    total = tl.where(last, 1.0, 0.0) + m * 0
    a = tl.where(last, v, 0.0)[None, :] + q * 0
    for start in range(begin, end, BLOCK):
        j = start + tl.arange(0, BLOCK)
        seen = j < end
        if DOT:
            kt = tl.load(keys + j[None, :] * D + d[:, None], mask=seen[None, :], other=0.0)
            score = tl.dot(q.to(kt.dtype), kt, input_precision="ieee")
        else:
            kt = tl.load(keys + j[:, None] * D + d[None, :], mask=seen[:, None], other=0.0).to(tl.float32)
            score = tl.sum(q[:, None, :] * kt[None, :, :], 2)
        vt = tl.load(values + j[:, None] * D + d[None, :], mask=seen[:, None], other=0.0)
        score = tl.where(seen[None, :], score, -1e30)
        top = tl.maximum(m, tl.max(score, 1))
        old = tl.exp(m - top)
        p = tl.where(seen[None, :], tl.exp(score - top[:, None]), 0.0)
        total = total * old + tl.sum(p, 1)
        if DOT:
            a = a * old[:, None] + tl.dot(p.to(vt.dtype), vt, input_precision="ieee")
        else:
            a = a * old[:, None] + tl.sum(p[:, :, None] * vt.to(tl.float32)[None, :, :], 1)
        m = top
    n = b * HEADS + h * G + g
    if SPLIT == 1:
        tl.store(out + n[:, None] * D + d[None, :], a / total[:, None], mask=live)
    else:
        place = parts + (n * SPLIT + part) * (D + 2)
        tl.store(place[:, None] + d[None, :], a, mask=live)
        tl.store(place + D, m, mask=g < G)
        tl.store(place + D + 1, total, mask=g < G)
        tl.debug_barrier()
        done = tl.atomic_add(counters + b * KV + h, 1, sem="acq_rel")
        if done == SPLIT - 1:
            tl.store(counters + b * KV + h, 0)
            e = tl.arange(0, SPLIT)
            for i in tl.static_range(G):
                places = parts + ((b * HEADS + h * G + i) * SPLIT + e) * (D + 2)
                tops = tl.load(places + D, cache_modifier=".cg")
                sums = tl.load(places + D + 1, cache_modifier=".cg")
                f = tl.exp(tops - tl.max(tops, 0))
                whole = tl.load(places[:, None] + d[None, :], cache_modifier=".cg") * f[:, None]
                tl.store(out + (b * HEADS + h * G + i) * D + d, tl.sum(whole, 0) / tl.sum(sums * f, 0))


@triton.jit(do_not_specialize=["at"])
def _attend_few(  # type: ignore[no-untyped-def]
    qkv, q_norm, k_norm, cos, sin, eps, at, kv, out, rows, slot_stride, head_stride, value_offset,
    HEADS: tl.constexpr, KV: tl.constexpr, G: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, PAIR: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0)
    b = tl.program_id(1)
    g = tl.arange(0, G)
    d = tl.arange(0, D)
    j = tl.arange(0, BLOCK)
    other = (d + D // 2) % D
    sign = tl.where(d < D // 2, -1.0, 1.0)
    cs = tl.load(cos + at * D + d)
    sn = tl.load(sin + at * D + d) * sign
    q_gain = tl.load(q_norm + d).to(tl.float32)
    q_gain_other = tl.load(q_norm + other).to(tl.float32)
    k_gain = tl.load(k_norm + d).to(tl.float32)
    k_gain_other = tl.load(k_norm + other).to(tl.float32)
    keys = kv + b.to(tl.int64) * slot_stride + h * head_stride
    values = keys + value_offset
    width: tl.constexpr = (HEADS + 2 * KV) * D
    follow(PDL, False)
    row = qkv + b * width
    if PAIR:  # row b is position 0 and row `rows` + b position 1: nothing is in the cache yet
        k0 = tl.load(row + (HEADS + h) * D + d).to(tl.float32)
        v0 = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
        row += rows * width
    else:
        past = (j < at)[:, None]
        kt = tl.load(keys + j[:, None] * D + d[None, :], mask=past, other=0.0).to(tl.float32)
        vt = tl.load(values + j[:, None] * D + d[None, :], mask=past, other=0.0).to(tl.float32)
    head = row + (h * G + g)[:, None] * D
    q = tl.load(head + d[None, :]).to(tl.float32)
    q_other = tl.load(head + other[None, :]).to(tl.float32)
    k = tl.load(row + (HEADS + h) * D + d).to(tl.float32)
    k_other = tl.load(row + (HEADS + h) * D + other).to(tl.float32)
    v = tl.load(row + (HEADS + KV + h) * D + d).to(tl.float32)
    scale = tl.rsqrt(tl.sum(q * q, 1) / D + eps) * (D**-0.5)
    q = (q * (q_gain * cs)[None, :] + q_other * (q_gain_other * sn)[None, :]) * scale[:, None]
    k = (k * k_gain * cs + k_other * k_gain_other * sn) * tl.rsqrt(tl.sum(k * k, 0) / D + eps)
    tl.store(keys + at * D + d, k)
    tl.store(values + at * D + d, v)
    own = tl.sum(q * k[None, :], 1)
    n = h * G + g
    if PAIR:
        # Position 0 is not turned, and sees itself alone.
        k0 = k0 * k_gain * tl.rsqrt(tl.sum(k0 * k0, 0) / D + eps)
        tl.store(keys + d, k0)
        tl.store(values + d, v0)
        tl.store(out + (b * HEADS + n)[:, None] * D + d[None, :], v0[None, :] + q * 0)
        share = 1 / (1 + tl.exp(tl.sum(q * k0[None, :], 1) - own))
        result = v0[None, :] + (v - v0)[None, :] * share[:, None]
        tl.store(out + ((rows + b) * HEADS + n)[:, None] * D + d[None, :], result)
    else:
        score = tl.where((j < at)[None, :], tl.sum(q[:, None, :] * kt[None, :, :], 2), -1e30)
        top = tl.maximum(own, tl.max(score, 1))
        p = tl.exp(score - top[:, None])
        f = tl.exp(own - top)
        a = tl.sum(p[:, :, None] * vt[None, :, :], 1) + v[None, :] * f[:, None]
        tl.store(out + (b * HEADS + n)[:, None] * D + d[None, :], a / (tl.sum(p, 1) + f)[:, None])


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
    parts: Tensor,
    counters: Tensor,
    out: Tensor,
    split: int,
    pdl: bool = False,
    warps: int = 4,
) -> None:
    """One new position for each of B rows, each at a place of its own.

    qkv [B, (heads + 2 kv_heads) * D]; position [slots] int32: where each slot's new position goes; slot [B] int32; kv
    [2, slots, kv_heads, max_positions, D], one layer's cache; out [B, heads * D]. `parts` float32 with room for
    B * heads * split * (D + 2) and `counters` int32 [B * kv_heads], zero between calls, are scratch for split > 1.
    """
    batch = out.shape[0]
    kv_heads, head_dim = kv.shape[2], kv.shape[4]
    heads = out.shape[1] // head_dim
    group = heads // kv_heads
    dot = batch >= DOT_ROWS and head_dim >= 16
    launch(_attend, (kv_heads, batch, split))(
        qkv, q_norm, k_norm, cos, sin, eps, position, slot, kv, parts, counters, out,
        kv.stride(1), kv.stride(2), kv.stride(0),
        HEADS=heads, KV=kv_heads, G=group, GP=max(16, group) if dot else group, D=head_dim,
        BLOCK=BLOCK if split == 1 else BLOCK // 2, SPLIT=split, DOT=dot, PDL=pdl,
        num_warps=warps, num_stages=3, **options(pdl),
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
    warps: int = 4,
) -> None:
    """One new position, the same for all B rows and below 16; row b's cache is slot b.

    With `pair`, qkv and out hold 2B rows, all rows' position 0 before all rows' position 1, and `at` is 1.
    """
    batch = out.shape[0] // (2 if pair else 1)
    kv_heads, head_dim = kv.shape[2], kv.shape[4]
    heads = out.shape[1] // head_dim
    launch(_attend_few, (kv_heads, batch))(
        qkv, q_norm, k_norm, cos, sin, eps, at, kv, out, batch, kv.stride(1), kv.stride(2), kv.stride(0),
        HEADS=heads, KV=kv_heads, G=heads // kv_heads, D=head_dim, BLOCK=16, PAIR=pair, PDL=pdl,
        num_warps=warps, **options(pdl),
    )  # fmt: skip
