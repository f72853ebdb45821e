"""The transformer layer that talker and predictor share, batched, over a KV cache with one slot a sentence.

It is plain PyTorch, tensors in and tensors out, and never waits for the device: a CUDA graph can capture it as it is,
and `attend` and the norms can be replaced by kernels one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.qwen3.model.paged_kv import PAGE, UNIT
from engine.qwen3.model.weights import LayerWeights, StackWeights


@dataclass(frozen=True, slots=True)
class KvCache:
    """The keys and values of every slot, allocated once."""

    kv: Tensor  # [layers, 2, slots, kv_heads, max_positions, head_dim]

    @staticmethod
    def allocate(stack: StackWeights, slots: int, max_positions: int) -> KvCache:
        shape = (len(stack.layers), 2, slots, stack.kv_heads, max_positions, stack.head_dim)
        return KvCache(torch.zeros(shape, dtype=stack.norm.dtype, device=stack.norm.device))

    @property
    def max_positions(self) -> int:
        return self.kv.shape[4]

    @property
    def table(self) -> Tensor:
        """Where the kernels find each slot's positions, PAGE by PAGE, as in `PagedKv.table`. [slots, pages] int64."""
        pages = torch.arange(-(-self.max_positions // PAGE), device=self.kv.device)
        slots = torch.arange(self.kv.shape[2], device=self.kv.device)
        return (slots[:, None] * self.kv.stride(2) + pages * PAGE * self.kv.stride(4)) // UNIT

    def layer(self, number: int) -> Tensor:
        """Returns a layer's keys and values, [2, slots, kv_heads, max_positions, head_dim]."""
        return self.kv[number]

    @property
    def nbytes(self) -> int:
        return self.kv.nbytes

    def read(self, slot: int, positions: int) -> Tensor:
        """Returns a copy of a slot's first positions, [layers, 2, kv_heads, positions, head_dim]."""
        return self.kv[:, :, slot, :, :positions].clone()

    def write(self, slot: int, prefix: Tensor) -> None:
        """Puts what `read` gave at the beginning of a slot."""
        self.kv[:, :, slot, :, : prefix.shape[3]].copy_(prefix)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Applies the root-mean-square norm over the last dimension, in float32 inside."""
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Applies the rotary position embedding. x [B, T, heads, D]; cos and sin [B, T, 1, D] float32."""
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: Tensor,
    positions: Tensor,
    slots: Tensor | None,
    mask: Tensor,
    kv_length: int,
) -> Tensor:
    """Writes the new keys and values at their positions and attends to every position up to each query's own.

    q [B, T, heads, D]; k, v [B, T, kv_heads, D]; cache [2, slots, kv_heads, max_positions, D]; positions [B, T] int64;
    slots [B] int64, or None where row i is slot i; mask [B, 1, T, kv_length] bool, true where seen; kv_length is the
    static number of positions looked at. Returns [B, T, heads * D].
    """
    batch, steps, heads, dim = q.shape
    kv_heads = k.shape[2]
    rows = torch.arange(batch, device=q.device) if slots is None else slots
    # One write into the cache itself: written into parts of it, torch.compile would copy the whole of it for each.
    which = torch.arange(2, device=q.device)[:, None, None]
    cache[which, rows[:, None], :, positions] = torch.stack((k, v))
    seen = cache[:, :batch, :, :kv_length] if slots is None else cache[:, :, :, :kv_length].index_select(1, slots)
    # The query heads that share a key head become rows of one product: [B, kv_heads, group * T, D].
    grouped = q.view(batch, steps, kv_heads, heads // kv_heads, dim).permute(0, 2, 3, 1, 4)
    scores = torch.matmul(grouped.reshape(batch, kv_heads, -1, dim), seen[0].transpose(-1, -2)) * dim**-0.5
    scores = scores.view(batch, kv_heads, -1, steps, kv_length).masked_fill(~mask[:, :, None], float("-inf"))
    weights = scores.softmax(-1, dtype=torch.float32).to(q.dtype).view(batch, kv_heads, -1, kv_length)
    out = torch.matmul(weights, seen[1]).view(batch, kv_heads, -1, steps, dim)
    return out.permute(0, 3, 1, 2, 4).reshape(batch, steps, heads * dim)


def run_layer(
    layer: LayerWeights,
    stack: StackWeights,
    x: Tensor,
    rope: tuple[Tensor, Tensor],
    cache: Tensor,
    positions: Tensor,
    slots: Tensor | None,
    mask: Tensor,
    kv_length: int,
) -> Tensor:
    """Runs one layer. x [B, T, hidden]; rope is cos and sin, [B, T, 1, D]; the others are as in `attend`."""
    batch, steps, _ = x.shape
    heads, kv_heads, dim = stack.heads, stack.kv_heads, stack.head_dim
    qkv = layer.qkv(rms_norm(x, layer.input_norm, stack.eps)).view(batch, steps, heads + 2 * kv_heads, dim)
    q, k, v = torch.split(qkv, [heads, kv_heads, kv_heads], dim=2)
    q = rotate(rms_norm(q, layer.q_norm, stack.eps), *rope)
    k = rotate(rms_norm(k, layer.k_norm, stack.eps), *rope)
    x = x + layer.o((stack.attend or attend)(q, k, v, cache, positions, slots, mask, kv_length))
    gate, up = layer.gate_up(rms_norm(x, layer.post_norm, stack.eps)).chunk(2, dim=-1)
    return x + layer.down(F.silu(gate) * up)


def run_stack(
    stack: StackWeights,
    x: Tensor,
    positions: Tensor,
    cache: KvCache,
    slots: Tensor | None,
    kv_length: int,
    layer_of: Callable[..., Tensor] = run_layer,
) -> Tensor:
    """Runs all layers and the last norm, for T new positions of B slots.

    x [B, T, hidden]; positions [B, T] int64, rising by one along T, all below kv_length; slots as in `attend`. Rows
    shorter than T may be padded on the right: what they leave in the cache is overwritten before anything looks at it.
    `layer_of` is `run_layer` or a compiled one. Returns [B, T, hidden].
    """
    rope = stack.cos[positions][:, :, None], stack.sin[positions][:, :, None]
    mask = (torch.arange(kv_length, device=x.device) <= positions[:, :, None])[:, None]
    for layer, kv in zip(stack.layers, cache.kv, strict=True):
        x = layer_of(layer, stack, x, rope, kv, positions, slots, mask, kv_length)
    return rms_norm(x, stack.norm, stack.eps)
