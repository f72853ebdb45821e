"""Draws a code and looks up its embedding, one program a row: what model/sampling.py does, without a sort.

The k-th largest score is found by cutting an interval in six until exactly k scores lie above the cut. The noise is
model/sampling.py's Philox stream, so the same seed gives the same codes.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.kernels.pdl import follow, options

_bytes = torch.uint8
SPAN: Final = 64.0
"""A score further than this below the best is never drawn (e^-64 against float32's noise of 2^-24)."""
ROUNDS: Final = 24
"""The most rounds of cuts; distinct scores take two to five."""
MOST_CODES: Final = 4095
"""The largest number that a count has room for."""


@triton.jit
def _noise(words):  # type: ignore[no-untyped-def]
    """Returns Gumbel noise for words of 32 bits; `sampling.uniform` says why 23 bits of them are used."""
    uniform = ((words >> 9).to(tl.float32) + 0.5) * (2.0**-23)
    return -tl.log(-tl.log(uniform))


@triton.jit
def _gumbel(seed, frame, start, V: tl.constexpr):  # type: ignore[no-untyped-def]
    """Returns V draws from number `start` on; V and start are multiples of 4."""
    counter = (start // 4 + tl.arange(0, V // 4)).to(tl.uint32)
    zero = counter * 0
    w0, w1, w2, w3 = tl.philox(seed, counter, zero + frame.to(tl.uint32), zero, zero)
    return _noise(tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3)))


@triton.jit
def _narrowed(x, k, low, high, a, b, c, d, e):  # type: ignore[no-untyped-def]
    """Returns the ends of that part of low … high, cut at a < b < c < d < e, in which the k-th largest score lies; and
    whether exactly k lie above its lower end."""
    # Five counts of less than 4,096 in one sum.
    packed = (x > a).to(tl.int64) + ((x > b).to(tl.int64) << 12) + ((x > c).to(tl.int64) << 24)
    packed += ((x > d).to(tl.int64) << 36) + ((x > e).to(tl.int64) << 48)
    counts = tl.sum(packed, 0)
    over_a = (counts & 0xFFF).to(tl.int32)
    over_b = ((counts >> 12) & 0xFFF).to(tl.int32)
    over_c = ((counts >> 24) & 0xFFF).to(tl.int32)
    over_d = ((counts >> 36) & 0xFFF).to(tl.int32)
    over_e = (counts >> 48).to(tl.int32)
    exact = (over_a == k) | (over_b == k) | (over_c == k) | (over_d == k) | (over_e == k)
    low = tl.where(over_a >= k, a, low)
    low = tl.where(over_b >= k, b, low)
    low = tl.where(over_c >= k, c, low)
    low = tl.where(over_d >= k, d, low)
    low = tl.where(over_e >= k, e, low)
    high = tl.where(over_e < k, e, high)
    high = tl.where(over_d < k, d, high)
    high = tl.where(over_c < k, c, high)
    high = tl.where(over_b < k, b, high)
    high = tl.where(over_a < k, a, high)
    return low, high, exact


@triton.jit
def _cut_top_k(x, best, k, SPAN: tl.constexpr, ROUNDS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Returns the value above which exactly k scores lie (more if they tie)."""
    # First by halves of halves: the wanted one is near the best far more often than SPAN below it.
    low, high, exact = _narrowed(
        x, k, best - SPAN, best,
        best - SPAN / 2, best - SPAN / 4, best - SPAN / 8, best - SPAN / 16, best - SPAN / 32,
    )  # fmt: skip
    turns = tl.where(exact, ROUNDS, 0)
    while turns < ROUNDS:
        part = (high - low) * (1 / 6)
        next_low, next_high, exact = _narrowed(
            x, k, low, high, low + part, low + 2 * part, low + 3 * part, low + 4 * part, low + 5 * part
        )
        # Where the k-th ties with the next there is no such cut, and float32 has no closer one.
        stuck = (next_low == low) & (next_high == high)
        turns = tl.where(exact | stuck, ROUNDS, turns + 1)
        low = next_low
        high = next_high
    return low


@triton.jit
def _cut_top_p(x, best, p, SPAN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Returns the value above which the likeliest scores lie, up to the one whose mass reaches p."""
    mass = tl.exp(x - best)
    mass = mass / tl.sum(mass, 0)
    low = best - SPAN
    high = best
    for _ in range(40):
        mid = (low + high) * 0.5
        enough = tl.sum(tl.where(x > mid, mass, 0.0), 0) >= p
        low = tl.where(enough, mid, low)
        high = tl.where(enough, high, mid)
    return low


@triton.jit
def _draw(x, noise, temperature, top_k, top_p, SPAN: tl.constexpr, ROUNDS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Draws a code. x: logits with -1e30 where nothing may be drawn."""
    greedy = temperature == 0
    x = x / tl.where(greedy, 1.0, temperature)
    best = tl.max(x, 0)
    if (top_k > 0) & (temperature != 0):
        x = tl.where(x > _cut_top_k(x, best, top_k.to(tl.int32), SPAN, ROUNDS), x, -1e30)
    if (top_p < 1) & (temperature != 0):
        x = tl.where(x > _cut_top_p(x, best, top_p, SPAN), x, -1e30)
    return tl.argmax(x + tl.where(greedy, 0.0, noise), 0)


@triton.jit
def _first(  # type: ignore[no-untyped-def]
    logits, allowed, slot, seed, frame, temperature, top_k, top_p, penalty, seen, codes, embedding, x_next, total,
    eos, min_frames,
    V: tl.constexpr, VP: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, CODES: tl.constexpr,
    SPAN: tl.constexpr, ROUNDS: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0)
    c = tl.arange(0, VP)
    s = tl.load(slot + b)
    made = tl.load(frame + s)
    noise = _gumbel(tl.load(seed + s), made, 0, VP)
    t = tl.load(temperature + s)
    k = tl.load(top_k + s)
    p = tl.load(top_p + s)
    r = tl.load(penalty + s)
    drawn = tl.load(seen + s * V + c, mask=c < V, other=0) != 0
    may = (tl.load(allowed + c, mask=c < V, other=0) != 0) & ((c != eos) | (made >= min_frames))
    follow(PDL, True)
    x = tl.load(logits + b * V + c, mask=c < V, other=0.0).to(tl.float32)
    x = tl.where(drawn, tl.where(x < 0, x * r, x / r), x)
    # NaNs compare with nothing: they must not lead out of the tables.
    code = tl.minimum(_draw(tl.where(may, x, -1e30), noise, t, k, p, SPAN, ROUNDS), V - 1)
    tl.store(seen + s * V + code, 1)
    tl.store(codes + b * CODES, code.to(tl.int64))
    d = tl.arange(0, HP)
    e = tl.load(embedding + code.to(tl.int64) * H + d, mask=d < H, other=0.0)
    tl.store(x_next + b * H + d, e, mask=d < H)
    tl.store(total + b * H + d, e.to(tl.float32), mask=d < H)


@triton.jit(do_not_specialize=["number"])
def _next(  # type: ignore[no-untyped-def]
    logits, slot, seed, frame, temperature, top_k, top_p, codes, number, embedding, x_next, total,
    first_vocabulary,
    x, position, text, text_length, pad, text_room, last_position, scratch, history, history_frames,
    V: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, CODES: tl.constexpr, LAST: tl.constexpr,
    SPAN: tl.constexpr, ROUNDS: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0)
    c = tl.arange(0, V)
    d = tl.arange(0, HP)
    s = tl.load(slot + b)
    made = tl.load(frame + s)
    noise = _gumbel(tl.load(seed + s), made, first_vocabulary + (number - 1) * V, V)
    t = tl.load(temperature + s)
    k = tl.load(top_k + s)
    p = tl.load(top_p + s)
    if LAST:
        index = tl.minimum(made, text_room - 1)
        told = tl.where(made < tl.load(text_length + s), H, 0)
        spoken = tl.load(text + (s * text_room + index) * H + d, mask=d < told, other=0.0).to(tl.float32)
        spoken += tl.load(pad + d, mask=(d >= told) & (d < H), other=0.0).to(tl.float32)
        place = tl.load(position + s)
    follow(PDL, True)
    scores = tl.load(logits + b * V + c).to(tl.float32)
    code = _draw(scores, noise, t, k, p, SPAN, ROUNDS)
    tl.store(codes + b * CODES + number, code.to(tl.int64))
    e = tl.load(embedding + code.to(tl.int64) * H + d, mask=d < H, other=0.0)
    e_sum = tl.load(total + b * H + d, mask=d < H, other=0.0) + e.to(tl.float32)
    if LAST:
        tl.store(x + s * H + d, e_sum + spoken, mask=d < H)
        # The scratch slot stays at its first position: its rows would read all positions up to its own.
        tl.store(position + s, tl.where(s == scratch, 0, tl.minimum(place + 1, last_position)))
        tl.store(frame + s, made + 1)
        i = tl.arange(0, CODES)
        whole = tl.where(i == number, code.to(tl.int64), tl.load(codes + b * CODES + i, mask=i != number, other=0))
        tl.store(history + (s * history_frames + made % history_frames) * CODES + i, whole)
    else:
        tl.store(x_next + b * H + d, e, mask=d < H)
        tl.store(total + b * H + d, e_sum, mask=d < H)


@triton.jit
def _gather(x, slot, out, H: tl.constexpr, HP: tl.constexpr):  # type: ignore[no-untyped-def]
    b = tl.program_id(0)
    d = tl.arange(0, HP)
    s = tl.load(slot + b).to(tl.int64)
    tl.store(out + b * H + d, tl.load(x + s * H + d, mask=d < H), mask=d < H)


def gather(x: Tensor, slot: Tensor, out: Tensor) -> None:
    """out[i] = x[slot[i]]. The first kernel of a frame: an ordinary launch, so that nothing overlaps the last frame."""
    hidden = x.shape[1]
    launch(_gather, (out.shape[0],))(x, slot, out, H=hidden, HP=triton.next_power_of_2(hidden), num_warps=4)


@triton.jit(do_not_specialize=["T"])
def _recall(history, slot, first, out, frames, T, CODES: tl.constexpr):  # type: ignore[no-untyped-def]
    m = tl.program_id(0)
    b = m // T
    i = tl.arange(0, CODES)
    at = (tl.load(first + b) + m % T) % frames
    tl.store(out + m * CODES + i, tl.load(history + (tl.load(slot + b) * frames + at) * CODES + i))


def recall(history: Tensor, slot: Tensor, first: Tensor, out: Tensor) -> None:
    """Copies each slot's codes of T frames, from frame number `first` [B] int64 on, to out [B, T, 16]."""
    rows, steps, codes = out.shape
    launch(_recall, (rows * steps,))(history, slot, first, out, history.shape[1], steps, CODES=codes, num_warps=1)


def draw_first(
    logits: Tensor,
    allowed: Tensor,
    slot: Tensor,
    seed: Tensor,
    frame: Tensor,
    temperature: Tensor,
    top_k: Tensor,
    top_p: Tensor,
    penalty: Tensor,
    seen: Tensor,
    codes: Tensor,
    embedding: Tensor,
    x_next: Tensor,
    total: Tensor,
    eos: int,
    min_frames: int,
    pdl: bool = False,
) -> None:
    """Draws code 0 of B rows. logits [B, V]; codes [B, 16]; x_next [B, H] and total (float32) get its embedding."""
    rows, vocabulary = logits.shape
    assert vocabulary <= MOST_CODES
    hidden = embedding.shape[1]
    launch(_first, (rows,))(
        logits, allowed.view(_bytes), slot, seed, frame, temperature, top_k, top_p, penalty, seen.view(_bytes), codes,
        embedding, x_next, total, eos, min_frames,
        V=vocabulary, VP=triton.next_power_of_2(vocabulary), H=hidden, HP=triton.next_power_of_2(hidden),
        CODES=codes.shape[1], SPAN=SPAN, ROUNDS=ROUNDS, PDL=pdl, num_warps=8, **options(pdl),
    )  # fmt: skip


def draw_next(
    logits: Tensor,
    slot: Tensor,
    seed: Tensor,
    frame: Tensor,
    temperature: Tensor,
    top_k: Tensor,
    top_p: Tensor,
    codes: Tensor,
    number: int,
    embedding: Tensor,
    x_next: Tensor,
    total: Tensor,
    first_vocabulary: int,
    x: Tensor,
    position: Tensor,
    text: Tensor,
    text_length: Tensor,
    pad: Tensor,
    last_position: int,
    history: Tensor,
    pdl: bool = False,
) -> None:
    """Draws code `number` (1..15) of B rows. After the last one it writes each slot's next input, position, frame
    number and its codes into history [slots, frames, 16], where frame f lies at f modulo frames.
    """
    rows, vocabulary = logits.shape
    assert vocabulary <= MOST_CODES
    hidden = embedding.shape[1]
    launch(_next, (rows,))(
        logits, slot, seed, frame, temperature, top_k, top_p, codes, number, embedding, x_next, total,
        first_vocabulary, x, position, text, text_length, pad, text.shape[1], last_position, position.shape[0] - 1,
        history, history.shape[1],
        V=vocabulary, H=hidden, HP=triton.next_power_of_2(hidden), CODES=codes.shape[1],
        LAST=number == codes.shape[1] - 1, SPAN=SPAN, ROUNDS=ROUNDS, PDL=pdl, num_warps=8, **options(pdl),
    )  # fmt: skip
