"""The talker: reads one position a frame for each sentence and gives code 0 and the predictor's hidden state."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from engine.qwen3.model.layers import KvCache, run_layer, run_stack
from engine.qwen3.model.weights import TalkerWeights


def step(
    talker: TalkerWeights,
    x: Tensor,
    positions: Tensor,
    cache: KvCache,
    slots: Tensor | None,
    kv_length: int,
    layer_of: Callable[..., Tensor] = run_layer,
) -> tuple[Tensor, Tensor]:
    """Reads one position of each of B slots.

    x [B, hidden]; positions [B] int64, below kv_length; slots [B] int64, or None where row i is slot i.
    Returns the hidden states [B, hidden] and the logits of code 0 [B, 3072] in float32.
    """
    hidden = run_stack(talker.stack, x[:, None], positions[:, None], cache, slots, kv_length, layer_of)[:, 0]
    return hidden, talker.head(hidden).float()


def prefill(
    talker: TalkerWeights, x: Tensor, positions: Tensor, cache: KvCache, slots: Tensor | None, kv_length: int
) -> None:
    """Reads T positions of each of B slots, for their keys and values alone; the one that speaks first is `step`'s.

    x [B, T, hidden], shorter rows padded on the right with anything; positions [B, T] int64, below kv_length.
    """
    run_stack(talker.stack, x, positions, cache, slots, kv_length)
