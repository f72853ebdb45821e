"""Reads several positions of one slot at once: a prompt's, before the position that speaks first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.qwen3.kernels.frame import How, Scratch, run_layers
from engine.qwen3.kernels.pages import gather, scatter
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.layers import attend, rms_norm, rotate
from engine.qwen3.model.state import DecodeState


def prefill(
    model: FrameModel,
    state: DecodeState,
    slot: Tensor,
    start: Tensor,
    embeds: Tensor,
    kv_length: int,
    scratch: Scratch,
    how: How,
) -> None:
    """Writes keys and values of positions `start`… of one slot, with the frames' products; attention is PyTorch's.

    slot and start [1] int64; embeds [T, hidden], the last of which may be padding: what padding leaves behind is
    overwritten before anything looks at it, at the latest at place kv_length - 1, where no position of a prompt is.
    kv_length: static, the positions looked at. Nothing waits for the host, so a graph can capture it.
    """
    stack, rows = model.talker.stack, embeds.shape[0]
    x = scratch.x[:rows]
    x.copy_(embeds)
    positions = (start + torch.arange(rows, device=start.device)).clamp(max=kv_length - 1)[None]
    rope = stack.cos[positions][:, :, None], stack.sin[positions][:, :, None]
    mask = (torch.arange(kv_length, device=start.device) <= positions[:, :, None])[:, None]
    parts = [stack.heads, stack.kv_heads, stack.kv_heads]
    cache, table = state.talker_kv, state.talker_kv.table
    dense = torch.empty(2, 1, stack.kv_heads, kv_length, stack.head_dim, dtype=x.dtype, device=x.device)

    def attention(number: int, layer: Any, qkv: Tensor, out: Tensor) -> None:
        q, k, v = torch.split(qkv.view(1, rows, sum(parts), stack.head_dim), parts, dim=2)
        q = rotate(rms_norm(q, layer.q_norm, stack.eps), *rope)
        k = rotate(rms_norm(k, layer.k_norm, stack.eps), *rope)
        kv = cache.layer(number)
        gather(kv, table, slot, dense[:, 0])
        out.copy_(attend(q, k, v, dense, positions, None, mask, kv_length)[0])
        scatter(kv, table, slot, start, dense[:, 0], rows)

    run_layers(stack, x, scratch, how, attention)
