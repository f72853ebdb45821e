"""Chooses codes from logits, each row by its own settings, on the device.

There is no host sync, so it can live in a CUDA graph.

Randomness is counter-based (Philox 4x32-10, as `triton.language.philox`): a draw is a function of the call's seed, the
frame's number in the call and the draw's place in the frame, whatever else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

_MASK: Final = 0xFFFFFFFF
_ROUND_A: Final = 0xD2511F53
_ROUND_B: Final = 0xCD9E8D57
_KEY_A: Final = 0x9E3779B9
_KEY_B: Final = 0xBB67AE85
_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Sampling:
    """How codes are drawn; the defaults are upstream's. temperature 0 takes the likeliest."""

    temperature: float = 0.9
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.05
    sub_temperature: float = 0.9
    sub_top_k: int = 50
    sub_top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """The settings of B rows, one element a row."""

    temperature: Tensor  # [B] float32; 0 takes the likeliest code
    top_k: Tensor  # [B] int64; 0 keeps all
    top_p: Tensor  # [B] float32; 1 keeps all


def _multiply(a: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the high and low 32 bits of a * x, x of 32 bits in int64 (int64's wrap keeps the right 64 bits)."""
    product = x * a
    return (product >> 32) & _MASK, product & _MASK


def philox(seeds: Tensor, c0: Tensor, c1: Tensor) -> Tensor:
    """Returns four 32-bit words, [..., 4], for each counter (c0, c1, 0, 0). Arguments int64, broadcast together."""
    key_a, key_b = seeds & _MASK, (seeds >> 32) & _MASK
    c2 = torch.zeros_like(c0)
    c3 = c2
    for _ in range(_ROUNDS):
        high_a, low_a = _multiply(_ROUND_A, c0)
        high_b, low_b = _multiply(_ROUND_B, c2)
        c0, c1, c2, c3 = high_b ^ c1 ^ key_a, low_b, high_a ^ c3 ^ key_b, low_a
        key_a, key_b = (key_a + _KEY_A) & _MASK, (key_b + _KEY_B) & _MASK
    return torch.stack((c0, c1, c2, c3), dim=-1)


def uniform(words: Tensor) -> Tensor:
    """Returns float32 numbers within (0, 1), never either end, for words of 32 bits kept in int64, shape for shape.

    The upper 23 bits of each word are used: with half a step added, every number is exact in float32. With 24 bits the
    largest would be rounded up to 1, whose Gumbel noise is infinite.
    """
    return ((words >> 9).float() + 0.5) * 2.0**-23


def gumbel_noise(seeds: Tensor, frames: Tensor, draws: int) -> Tensor:
    """Returns Gumbel noise for one frame, [B, draws] float32. seeds and frames [B] int64.

    Draw i is word i % 4 of counter i // 4. `argmax(score + noise)` then draws from softmax(score).
    """
    counters = torch.arange((draws + 3) // 4, device=seeds.device)
    words = philox(seeds[:, None], counters[None], frames[:, None]).flatten(1)[:, :draws]
    return -torch.log(-torch.log(uniform(words)))


def penalize(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Applies the repetition penalty. logits [B, V] float32; seen [B, V] bool: drawn before; penalty [B] float32."""
    scaled = torch.where(logits < 0, logits * penalty[:, None], logits / penalty[:, None])
    return torch.where(seen, scaled, logits)


def scores(logits: Tensor, rows: SamplingRows) -> Tensor:
    """Applies temperature, top-k and top-p. Returns log-probabilities up to a constant, -inf where none may be drawn.

    logits [B, V] float32, with -inf where a code is not allowed. A row of temperature 0 is left as it is.
    """
    vocabulary = logits.shape[-1]
    greedy = rows.temperature[:, None] == 0
    scaled = logits / torch.where(greedy, 1.0, rows.temperature[:, None])
    ordered = scaled.sort(dim=-1, descending=True).values
    ranks = torch.arange(vocabulary, device=logits.device)
    kept = ranks < torch.where(rows.top_k > 0, rows.top_k, vocabulary)[:, None]
    mass = ordered.masked_fill(~kept, float("-inf")).softmax(-1)
    # The likeliest codes are kept until their mass reaches top_p, the one that reaches it included.
    kept &= (mass.cumsum(-1) - mass < rows.top_p[:, None]) | (rows.top_p[:, None] >= 1)
    lowest = ordered.gather(-1, kept.sum(-1, keepdim=True) - 1)
    return torch.where(greedy | (scaled >= lowest), scaled, float("-inf"))


def choose(logits: Tensor, rows: SamplingRows, noise: Tensor) -> Tensor:
    """Returns one code a row, [B] int64. logits and noise [B, V] float32; noise from `gumbel_noise`."""
    drawn = torch.where(rows.temperature[:, None] == 0, 0.0, noise)
    return (scores(logits, rows) + drawn).argmax(-1)
