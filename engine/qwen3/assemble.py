"""From the settings to a model that is ready to speak."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.qwen3.checkpoint import Checkpoint, load
from engine.qwen3.compile import CompiledLayer, compile_mode
from engine.qwen3.quantize import quantize
from engine.qwen3.runner import EagerRunner, Runner, Utterance
from engine.qwen3.settings import QwenSettings
from engine.qwen3.slots import Slots
from engine.qwen3.speakers import designed_speaker, named_speaker

log = logging.getLogger(__name__)

KEPT_PREFIX_BYTES = 128 * 2**20
"""For the keys and values of prompts: voices times languages in use."""


@dataclass(slots=True)
class Assembly:
    """What the model process works with."""

    checkpoint: Checkpoint
    slots: Slots
    runner: Runner
    warnings: list[str]
    facts: dict[str, Any]
    """What `/health` tells of it."""


@torch.inference_mode()
def assemble(settings: QwenSettings) -> Assembly:
    """Loads, quantizes and warms up. Raises SpeechError with one clear line."""
    checkpoint = load(settings)
    warnings = list(checkpoint.warnings)
    model, quantized, why_not = quantize(checkpoint.model, settings)
    warnings += why_not
    layer = CompiledLayer(compile_mode(settings)) if settings.torch_compile else None
    if layer is not None:
        model = replace(model, layer_of=layer)
    checkpoint = replace(checkpoint, model=model)
    slots = Slots(
        model, checkpoint.codec, settings.max_batch, settings.max_positions, settings.max_positions, KEPT_PREFIX_BYTES
    )
    runner: Runner = EagerRunner(slots)
    facts = {
        "model_type": checkpoint.kind,
        "model_size": checkpoint.size,
        "device": _device_name(checkpoint.device),
        "dtype": settings.dtype,
        "quantize": quantized,
        "runner": type(runner).__name__,
        "max_batch": settings.max_batch,
    }
    assembly = Assembly(checkpoint, slots, runner, warnings, facts)
    warm_up(assembly)
    if layer is not None:
        facts["compiled_graphs"] = layer.graphs
        warnings += [warning] if (warning := layer.warning()) else []
    for warning in warnings:
        log.warning(warning)
    return assembly


def warm_up(assembly: Assembly) -> None:
    """A few short utterances, so that the first caller does not wait for what is set up once."""
    checkpoint = assembly.checkpoint
    speakers = sorted(checkpoint.ids.speakers)
    speaker = named_speaker(checkpoint, speakers[0]) if speakers else designed_speaker()
    ids = checkpoint.tokenizer.text("Hello.")
    # One call alone, then several: what is compiled is compiled for one and for many.
    for together in (1, 2, 3):
        utterances = [
            Utterance(-1, checkpoint.prompts.build(ids, speaker), checkpoint.sampling, len(ids))
            for _ in range(together)
        ]
        admitted = [utterance for utterance in utterances if assembly.runner.admit(utterance)]
        for _ in range(8):
            assembly.runner.step()
        for utterance in admitted:
            assembly.runner.remove(utterance)
    if checkpoint.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.device)


def memory(device: torch.device) -> dict[str, Any]:
    """GPU memory, for `/health`; empty on a CPU."""
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    mib = 2**20
    return {
        "allocated_mib": torch.cuda.memory_allocated(device) // mib,
        "reserved_mib": torch.cuda.memory_reserved(device) // mib,
        "free_mib": free // mib,
        "total_mib": total // mib,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
