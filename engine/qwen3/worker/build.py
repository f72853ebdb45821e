"""Builds what the model process works with: from the settings to a model that is ready to speak."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import structlog
import torch

from engine.errors import first_line
from engine.qwen3.batch.eager_runner import EagerRunner
from engine.qwen3.batch.runner import Runner
from engine.qwen3.batch.sentence import Sentence
from engine.qwen3.batch.slots import Slots, SlotTable
from engine.qwen3.cuda.pinned import fill_pool
from engine.qwen3.messages import Speak
from engine.qwen3.model.checkpoint import Checkpoint, fast_codec_dtype, load, plain_codec_dtype, too_large
from engine.qwen3.model.compile import CompiledLayer, compile_mode
from engine.qwen3.model.speakers import designed_speaker, named_speaker
from engine.qwen3.model.weights import moved
from engine.qwen3.settings import QwenSettings

log = structlog.get_logger(__name__)

KEPT_PREFIX_BYTES: Final = 128 * 2**20
"""The bytes kept for prefixes of prompts: voices times languages in use."""
CROWD: Final = 64
CROWD_TOKENS: Final = 16
"""So many sentences of so many tokens may come at one moment without memory being allocated while calls speak."""


_Batch = tuple[SlotTable[Any], Runner]


@dataclass(slots=True)
class Assembly:
    """What the model process works with."""

    checkpoint: Checkpoint
    slots: SlotTable[Any]
    runner: Runner
    warnings: list[str]
    facts: dict[str, Any]
    """What `/health` shows, beside the runner's own facts."""


def build(settings: QwenSettings) -> Assembly:
    """Loads the model and warms it up. Raises SpeechError with one clear line."""
    try:
        with torch.inference_mode():
            return _assemble(settings)
    except torch.OutOfMemoryError as error:
        raise too_large(settings) from error


def _assemble(settings: QwenSettings) -> Assembly:
    checkpoint = load(settings)
    warnings = list(checkpoint.warnings)
    fast, layer = _fast_runner(checkpoint, settings, warnings), None
    if fast is None and settings.torch_compile:
        layer = CompiledLayer(compile_mode(settings))
        checkpoint = replace(checkpoint, model=replace(checkpoint.model, layer_of=layer))
    slots, runner = fast or _plain_runner(checkpoint, settings)
    if checkpoint.device.type == "cuda":
        # The device has a copy of its own, and this one takes 458 MB in float32.
        checkpoint = replace(checkpoint, codec=None)  # type: ignore[arg-type]
        # Little is left for the CPU; more threads would spin on the cores that the calls' clock needs.
        torch.set_num_threads(1)
    attention = "flash_attention_2" if checkpoint.model.talker.stack.attend else "sdpa"
    facts = {
        "model_type": checkpoint.kind,
        "model_size": checkpoint.size,
        "cuda": checkpoint.device.type == "cuda",
        "gpu_name": torch.cuda.get_device_name(checkpoint.device) if checkpoint.device.type == "cuda" else None,
        "device": settings.device,
        "dtype": settings.dtype,
        "codec_dtype": _name((fast_codec_dtype if fast else plain_codec_dtype)(settings)),
        "attention": "hand-written kernels" if fast else attention,
        "quantize": checkpoint.quantized,
        "runner": type(runner).__name__,
        "compiled": "hand-written kernels" if fast else "no",
        "max_batch": settings.max_batch,
    }
    assembly = Assembly(checkpoint, slots, runner, warnings, facts)
    warm_up(assembly)
    if layer is not None and (warning := layer.warning()):
        warnings.append(warning)
    elif layer is not None:
        facts["compiled"] = f"torch.compile, {layer.graphs} graphs by dynamo's count"
    for warning in warnings:
        log.warning(warning)
    return assembly


def warm_up(assembly: Assembly) -> None:
    """Speaks a few short sentences, so that the first caller does not wait for what is set up once."""
    checkpoint = assembly.checkpoint
    if checkpoint.device.type == "cuda":
        torch.cuda.empty_cache()  # frees what loading and measuring took
    speakers = sorted(checkpoint.ids.speakers)
    speaker = named_speaker(checkpoint, speakers[0]) if speakers else designed_speaker()
    ids = checkpoint.tokenizer.text("Hello.")
    # One sentence alone, then several, for code is compiled for one and for many.
    for together in (1, 2, 3):
        sentences = [
            Sentence(Speak(-1, "", "")).build(checkpoint.prompts.build(ids, speaker), checkpoint.sampling, len(ids))
            for _ in range(together)
        ]
        admitted = [sentence for sentence in sentences if assembly.runner.admit(sentence)]
        for _ in range(8):
            assembly.runner.step()
        for sentence in admitted:
            assembly.runner.remove(sentence)
    if checkpoint.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.device)
        fill_pool()
        _ = [checkpoint.prompts.build(ids[:1] * CROWD_TOKENS, speaker) for _ in range(CROWD)]
        torch.cuda.synchronize(checkpoint.device)


def memory(device: torch.device) -> dict[str, Any]:
    """Returns the GPU's memory in MB, for `/health`; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    mb = 2**20
    return {
        "gpu_allocated_mb": torch.cuda.memory_allocated(device) // mb,
        "gpu_reserved_mb": torch.cuda.memory_reserved(device) // mb,
        "gpu_free_mb": free // mb,
        "gpu_total_mb": total // mb,
    }


def _plain_runner(checkpoint: Checkpoint, settings: QwenSettings) -> _Batch:
    positions = settings.max_positions
    codec = moved(checkpoint.codec, checkpoint.device)
    slots = Slots(checkpoint.model, codec, settings.max_batch, positions, positions, KEPT_PREFIX_BYTES)
    return slots, EagerRunner(slots)


def _fast_runner(checkpoint: Checkpoint, settings: QwenSettings, warnings: list[str]) -> _Batch | None:
    """Returns hand-written kernels under CUDA graphs, or None and a warning that says why where they cannot be had."""
    if checkpoint.device.type != "cuda":
        return None
    why_not = _why_not_fast(checkpoint, settings)
    if why_not is None:
        try:
            # Imported here, for Triton comes with a CUDA torch only.
            from engine.qwen3.cuda.fast_slots import FastSlots
            from engine.qwen3.cuda.graph_runner import GraphRunner
            from engine.qwen3.cuda.pinned import Streams
            from engine.qwen3.cuda.tuning import Tuning

            positions = settings.max_positions
            slots = FastSlots(
                checkpoint.model,
                checkpoint.codec,
                settings.max_batch,
                positions,
                positions,
                KEPT_PREFIX_BYTES,
                Streams.make(checkpoint.device),
                fast_codec_dtype(settings),
            )
            tuning = Tuning(_measured_for(checkpoint, settings))
            lead_s = settings.speech_lead_ms / 1e3
            runner = GraphRunner(slots, tuning, graphs=settings.cuda_graphs, lead_s=lead_s)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of a compiler, a driver or a launch: plain PyTorch still speaks
            log.exception("the kernels cannot be used")
            why_not = first_line(error)
        else:
            warnings += runner.warnings
            return slots, runner
    warnings.append(f"no CUDA graphs: {why_not}; frames are made by plain PyTorch, several times slower")
    return None


def _triton_version() -> str:
    """Returns the version of Triton that is installed, or "none"."""
    try:
        return version("triton")
    except PackageNotFoundError:
        return "none"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _why_not_fast(checkpoint: Checkpoint, settings: QwenSettings) -> str | None:
    if settings.dtype != "bfloat16":
        return f"the kernels need DTYPE=bfloat16, not {settings.dtype}"
    if settings.torch_compile and not settings.cuda_graphs:
        return "CUDA_GRAPHS=false, and TORCH_COMPILE compiles the plain layers instead"
    if not hasattr(checkpoint.model.talker.stack.layers[0].qkv, "weight"):
        return "bitsandbytes' matrices cannot be captured"
    return None


def _measured_for(checkpoint: Checkpoint, settings: QwenSettings) -> str:
    """Returns the key of what is measured: GPU, versions, model and sizes."""
    capability = torch.cuda.get_device_capability(checkpoint.device)
    parts = [
        torch.cuda.get_device_name(checkpoint.device),
        f"sm_{capability[0]}{capability[1]}",
        f"torch {torch.__version__}",
        f"triton {_triton_version()}",
        f"talkspurt {version('talkspurt')}",
    ]
    parts += [checkpoint.size, settings.quantize, f"{settings.max_batch} x {settings.max_positions}"]
    return ", ".join(parts)
