"""The kernels over what the codec remembers of each slot: the transformer's window of keys and values, a ring; what the
convolutions look back at; and the position."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch


@triton.jit(do_not_specialize=["T"])
def _window(  # type: ignore[no-untyped-def]
    qkv, cos, sin, slot, position, kv, out, T, slot_stride, head_stride, value_offset, ring, window,
    HEADS: tl.constexpr, D: tl.constexpr, TP: tl.constexpr, RP: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0)
    b = tl.program_id(1)
    s = tl.load(slot + b).to(tl.int64)
    first = tl.load(position + s)
    t = tl.arange(0, TP)
    d = tl.arange(0, D)
    live = (t < T)[:, None]
    other = (d + D // 2) % D
    sign = tl.where(d < D // 2, -1.0, 1.0)[None, :]
    base = qkv + (b * T + t)[:, None] * (3 * HEADS * D) + h * D
    cs = tl.load(cos + (first + t)[:, None] * D + d[None, :], mask=live, other=0.0)
    sn = tl.load(sin + (first + t)[:, None] * D + d[None, :], mask=live, other=0.0) * sign
    q = tl.load(base + d[None, :], mask=live, other=0.0).to(tl.float32) * cs
    q += tl.load(base + other[None, :], mask=live, other=0.0).to(tl.float32) * sn
    k = tl.load(base + HEADS * D + d[None, :], mask=live, other=0.0).to(tl.float32) * cs
    k += tl.load(base + HEADS * D + other[None, :], mask=live, other=0.0).to(tl.float32) * sn
    v = tl.load(base + 2 * HEADS * D + d[None, :], mask=live, other=0.0)
    keys = kv + s * slot_stride + h * head_stride
    values = keys + value_offset
    at = (first + t) % ring
    tl.store(keys + at[:, None] * D + d[None, :], k, mask=live)
    tl.store(values + at[:, None] * D + d[None, :], v, mask=live)
    tl.debug_barrier()
    j = tl.arange(0, RP)
    newest = first + T - 1
    held = newest - (newest - j + ring * 2) % ring  # the frame that place j of the ring holds
    there = (j < ring) & (held >= 0)
    kt = tl.load(keys + j[None, :] * D + d[:, None], mask=there[None, :], other=0.0)
    vt = tl.load(values + j[:, None] * D + d[None, :], mask=there[:, None], other=0.0)
    score = tl.dot((q * D**-0.5).to(kt.dtype), kt, input_precision="ieee")
    age = (first + t)[:, None] - held[None, :]
    seen = there[None, :] & (age >= 0) & (age < window)
    score = tl.where(seen, score, -1e30)
    p = tl.where(seen, tl.exp(score - tl.max(score, 1)[:, None]), 0.0)
    p = p / tl.maximum(tl.sum(p, 1), 1e-30)[:, None]
    a = tl.dot(p.to(vt.dtype), vt, input_precision="ieee")
    tl.store(out + (b * T + t)[:, None] * (HEADS * D) + h * D + d[None, :], a, mask=live)


@triton.jit
def _remember(  # type: ignore[no-untyped-def]
    state, arena, slot, table, state_size, BLOCK: tl.constexpr, SAVE: tl.constexpr
):  # fmt: skip
    """Copies contexts between slots and buffers. table [programs, 5] int64: offset in a slot, offset in the arena,
    stride of a row there, length, and how far behind its beginning the last rows lie."""
    row = table + tl.program_id(0) * 5
    b = tl.program_id(1)
    s = tl.load(slot + b).to(tl.int64)
    e = tl.arange(0, BLOCK)
    here = e < tl.load(row + 3)
    kept = state + s * state_size + tl.load(row) + e
    used = arena + tl.load(row + 1) + b * tl.load(row + 2) + e
    if SAVE:
        tl.store(kept, tl.load(used + tl.load(row + 4), mask=here), mask=here)
    else:
        tl.store(used, tl.load(kept, mask=here), mask=here)


@triton.jit(do_not_specialize=["T", "scratch"])
def _advance(position, slot, T, scratch):  # type: ignore[no-untyped-def]
    s = tl.load(slot + tl.program_id(0)).to(tl.int64)
    # The scratch slot would walk out of the tables within minutes.
    tl.store(position + s, tl.where(s == scratch, 0, tl.load(position + s) + T))


def attend_window(
    qkv: Tensor, cos: Tensor, sin: Tensor, slot: Tensor, position: Tensor, kv: Tensor, out: Tensor, window: int
) -> None:
    """Attends from T new frames of B calls over one layer's ring.

    qkv [B, T, 3 * heads * D]; kv [2, slots, heads, ring, D].
    """
    batch, frames, _ = qkv.shape
    heads, ring, head_dim = kv.shape[2:]
    launch(_window, (heads, batch))(
        qkv, cos, sin, slot, position, kv, out, frames, kv.stride(1), kv.stride(2), kv.stride(0), ring, window,
        HEADS=heads, D=head_dim, TP=16, RP=triton.next_power_of_2(ring), num_warps=4,
    )  # fmt: skip


def remember(state: Tensor, arena: Tensor, slot: Tensor, table: Tensor, block: int, save: bool) -> None:
    """Copies the contexts of slots [slots, size] to their places in the arena, or with `save` the new ones back."""
    launch(_remember, (table.shape[0], slot.shape[0]))(
        state, arena, slot, table, state.stride(0), BLOCK=block, SAVE=save, num_warps=4
    )


def advance(position: Tensor, slot: Tensor, frames: int) -> None:
    """Adds frames to position[slot], but for the last slot, the scratch slot."""
    launch(_advance, (slot.shape[0],))(position, slot, frames, position.shape[0] - 1, num_warps=1)
