"""ATTENTION=flash_attention_2 for the plain layers: one call of the flash-attn package writes the cache and attends."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.errors import first_line
from engine.qwen3.model.weights import Attend, PredictorWeights, TalkerWeights
from engine.qwen3.settings import QwenSettings


def why_not(settings: QwenSettings, device: torch.device) -> str | None:
    """Returns why FlashAttention cannot be used; None if it can."""
    if device.type != "cuda" or settings.dtype == "float32":
        return "it needs a CUDA device and 16-bit weights"
    try:
        importlib.import_module("flash_attn").flash_attn_with_kvcache  # noqa: B018 (old ones lack it)
    except ModuleNotFoundError:
        return "flash-attn is not installed"
    except (ImportError, OSError, AttributeError) as error:  # built for another torch, or too old
        return f"flash-attn cannot be used ({first_line(error)})"
    major, minor = torch.cuda.get_device_capability(device)
    return None if major >= 8 else f"this GPU is sm_{major}{minor}; it needs sm_80 or newer"


def with_flash(talker: TalkerWeights, predictor: PredictorWeights) -> tuple[TalkerWeights, PredictorWeights]:
    """Returns both models with FlashAttention in every layer."""
    attend = flash_attend()
    return (
        replace(talker, stack=replace(talker.stack, attend=attend)),
        replace(predictor, stack=replace(predictor.stack, attend=attend)),
    )


def flash_attend() -> Attend:
    """Returns FlashAttention as `layers.attend`; what each query sees follows from the positions, not from the mask."""
    package: Any = importlib.import_module("flash_attn")

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
        kept = cache if slots is not None else cache[:, : len(q)]
        # The package has positions before heads; it asks for nothing but the last dimension to be without gaps.
        keys, values = kept[0].transpose(1, 2), kept[1].transpose(1, 2)
        out: Tensor = package.flash_attn_with_kvcache(
            q,
            keys,
            values,
            k=k,
            v=v,
            cache_seqlens=positions[:, 0].to(torch.int32),
            cache_batch_idx=None if slots is None else slots.to(torch.int32),
            causal=True,
        )
        return out.flatten(2)

    return attend
