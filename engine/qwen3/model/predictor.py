"""The code predictor: codes 1 to 15 of a frame, one after the other, from the talker's hidden state and code 0."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.qwen3.model.layers import KvCache, run_layer, run_stack
from engine.qwen3.model.weights import PredictorWeights

Pick = Callable[[Tensor, int], Tensor]
"""(logits [B, 2048] float32, code number 1..15) → codes [B] int64."""


def predict(
    predictor: PredictorWeights,
    hidden: Tensor,
    first: Tensor,
    cache: KvCache,
    pick: Pick,
    codes: Tensor,
    layer_of: Callable[..., Tensor] = run_layer,
) -> Tensor:
    """Fills codes[:, 1:] and returns the sum of the embeddings of codes 1 to 15.

    hidden [B, talker's hidden] from `talker.step`; first [B, talker's hidden], the embedding of code 0; cache with B
    slots or more and 16 positions, whatever it holds; codes [B, 16] int64. Returns [B, talker's hidden] float32.
    """
    batch = hidden.shape[0]
    device = hidden.device
    total = torch.zeros_like(first, dtype=torch.float32)
    x = torch.stack((hidden, first), dim=1)
    start = 0
    for j, head in enumerate(predictor.heads):
        # The lengths are known while tracing, so each of the 15 forwards looks at exactly the positions there are.
        end = start + x.shape[1]
        positions = torch.arange(start, end, device=device).expand(batch, -1)
        narrow = x if predictor.projection is None else predictor.projection(x)
        last = run_stack(predictor.stack, narrow, positions, cache, None, end, layer_of)[:, -1]
        code = pick(head(last).float(), j + 1)
        codes[:, j + 1] = code
        embedded = predictor.embeddings[j][code]
        total += embedded
        x, start = embedded[:, None], end
    return total
