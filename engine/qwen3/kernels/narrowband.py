"""`model.narrowband` in two kernels, behind the codec's: the frames in narrowband, and each 10 ms's level."""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.qwen3.kernels.ahead import launch
from engine.qwen3.model.narrowband import FILTER, FULL_SCALE, LEVEL_SAMPLES, REACH, STEP

BLOCK: Final = 64
"""The narrowband samples that one program makes."""
TAPS: Final = 32
"""The taps that it works off at once."""


@triton.jit(do_not_specialize=["T"])
def _narrow(  # type: ignore[no-untyped-def]
    before, slot, first, pcm, taps, out, T, SIZE: tl.constexpr, NARROW: tl.constexpr, STEP: tl.constexpr,
    REACH: tl.constexpr, LENGTH: tl.constexpr, BLOCK: tl.constexpr, TAPS: tl.constexpr,
):  # fmt: skip
    frame = tl.program_id(0)  # of all calls' frames, one after the other
    b, t = frame // T, frame % T
    o = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    s = tl.load(slot + b).to(tl.int64)
    # A sample's place is counted from the frame's first one. Those before the chunk are the slot's, if it has begun.
    chunk = -t * SIZE
    oldest = tl.where(tl.load(first + b) > 0, chunk - REACH, chunk)
    sound = pcm + b.to(tl.int64) * T * SIZE + t * SIZE
    kept = before + s * REACH + t * SIZE + REACH
    acc = tl.zeros((BLOCK,), tl.float64)
    for k0 in range(0, LENGTH, TAPS):
        k = k0 + tl.arange(0, TAPS)
        tap = tl.load(taps + k, mask=k < LENGTH, other=0.0)
        at = o[:, None] * STEP - REACH + k[None, :]
        wanted = (o < NARROW)[:, None] & (k < LENGTH)[None, :] & (at < SIZE)
        x = tl.load(sound + at, mask=wanted & (at >= chunk), other=0).to(tl.float64)
        x += tl.load(kept + at, mask=wanted & (at >= oldest) & (at < chunk), other=0).to(tl.float64)
        acc += tl.sum(x * tap[None, :], 1)
    # Rounds to the nearest, halves to the even one: behind 2^52 there are no fractions.
    y = (acc + 6755399441055744.0) - 6755399441055744.0
    y = tl.minimum(tl.maximum(y, -32768.0), 32767.0)
    tl.store(out + frame.to(tl.int64) * NARROW + o, y.to(tl.int16), mask=o < NARROW)


@triton.jit
def _level(  # type: ignore[no-untyped-def]
    before, slot, pcm, out, FULL_SCALE: tl.constexpr, REACH: tl.constexpr, SAMPLES: tl.constexpr, POWER: tl.constexpr
):  # fmt: skip
    b, w, windows = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    i = tl.arange(0, POWER)
    x = tl.load(pcm + (b.to(tl.int64) * windows + w) * SAMPLES + i, mask=i < SAMPLES, other=0)
    y = x.to(tl.float32) / FULL_SCALE
    tl.store(out + b * windows + w, tl.sqrt(tl.sum(y * y, 0) / SAMPLES))
    # The last one has the end of the chunk: what the next one looks back at.
    s = tl.load(slot + b).to(tl.int64)
    back = i - (SAMPLES - REACH)
    if w == windows - 1:
        tl.store(before + s * REACH + back, x, mask=(back >= 0) & (i < SAMPLES))


def taps_on(device: torch.device) -> Tensor:
    """Returns the filter's taps as `narrow` takes them."""
    return torch.from_numpy(FILTER.taps).to(device)


def narrow(before: Tensor, slots: Tensor, first: Tensor, pcm: Tensor, taps: Tensor, out: Tensor) -> None:
    """Does what `model.narrowband.narrow` does, but for `before`. pcm [B, T * size]; out [B, T, narrow samples]."""
    rows, frames, samples = out.shape
    launch(_narrow, (rows * frames, triton.cdiv(samples, BLOCK)))(
        before, slots, first, pcm, taps, out, frames, SIZE=pcm.shape[1] // frames, NARROW=samples, STEP=STEP,
        REACH=REACH, LENGTH=FILTER.taps.size, BLOCK=BLOCK, TAPS=TAPS, num_warps=4,
    )  # fmt: skip


def level(before: Tensor, slots: Tensor, pcm: Tensor, out: Tensor) -> None:
    """Writes each 10 ms's RMS of pcm [B, samples] to out [B, 10 ms], and the end of the sound to `before`."""
    launch(_level, tuple(out.shape))(
        before, slots, pcm, out, FULL_SCALE=FULL_SCALE, REACH=REACH, SAMPLES=LEVEL_SAMPLES,
        POWER=triton.next_power_of_2(LEVEL_SAMPLES), num_warps=2,
    )  # fmt: skip
