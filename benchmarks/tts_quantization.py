"""Measures what 8-bit weights save, cost and change: memory, ms a frame, and how far the codes move from bfloat16's.

    python -m benchmarks.tts_quantization [--sizes 0.6B 1.7B] [--frames 64]

Weights are drawn at random in the true sizes. Memory and time do not depend on their values; the errors do: random
weights have none of the outliers that trained ones have, and their flat logits (a deviation of about 1) make two codes
equally likely far more often, so agreement is understated and divergence too. "graphs" is what the engine runs
(hand-written kernels, one CUDA graph a frame); "plain" is plain PyTorch under one CUDA graph, or kernel by kernel where
that cannot be captured. Times are medians of five frames at position 200.
"""

from __future__ import annotations

import argparse
import gc
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import gpu_facts
from benchmarks.table import markdown
from engine.qwen3.model import predictor, talker
from engine.qwen3.model.frame import FrameModel, decode_frame
from engine.qwen3.model.layers import KvCache
from engine.qwen3.model.quantize import to_bitsandbytes, to_fp8, to_int8
from engine.qwen3.model.state import CODE_GROUPS, DecodeState
from tests.support.qwen3.convert import convert
from tests.support.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, StackSize, random_weights

EOS = 2150
BATCHES = (1, 8, 32)
COMPARED_CALLS = 8
POSITION = 200
MODES: dict[str, Any] = {
    "bfloat16": None,
    "int8, weight-only": to_int8,
    "float8, weight-only": to_fp8,
    "int8, bitsandbytes": to_bitsandbytes,
}
TINY = StackSize(2, 64, 128, heads=4, kv_heads=2, head_dim=16)


def build(size: str, device: torch.device, dtype: torch.dtype) -> FrameModel:
    sizes = (TINY, TINY) if size == "tiny" else (TALKER_SIZES[size], PREDICTOR_SIZE)
    weights = random_weights(*sizes, device, dtype, max_positions=512)
    pad = torch.full((sizes[0].hidden,), 0.1, device=device, dtype=dtype)
    model = FrameModel.build(*weights, pad, EOS)
    model.allowed[EOS] = False
    return model


def weight_bytes(model: FrameModel) -> int:
    """Returns the bytes of everything that decoding reads: layers, heads and embeddings."""
    seen: dict[int, int] = {}

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            seen[value.data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, tuple | list):
            for each in value:
                visit(each)
        elif hasattr(value, "nbytes") and not hasattr(value, "__dataclass_fields__"):
            seen[id(value)] = value.nbytes
        elif hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                visit(getattr(value, name))

    visit((model.talker, model.predictor))
    return sum(seen.values())


# How far the codes move


@dataclass
class Trace:
    """Frames of some calls: what the talker was given and which codes were drawn."""

    inputs: list[Tensor]  # [B, hidden] each
    codes: list[Tensor]  # [B, 16] each


def record(model: FrameModel, frames: int) -> Trace:
    """Lets the model speak, sampled at temperature 0.9."""
    state = DecodeState.allocate(model.talker, model.predictor, COMPARED_CALLS, frames + 1, 1)
    slots = torch.arange(COMPARED_CALLS, device=state.x.device)
    state.seed[:] = torch.arange(len(state.seed))
    state.x.normal_(generator=torch.Generator(state.x.device).manual_seed(1))
    trace = Trace([], [])
    for frame in range(frames):
        trace.inputs.append(state.x[slots].clone())
        codes = torch.zeros(COMPARED_CALLS, CODE_GROUPS, dtype=torch.int64, device=state.x.device)
        decode_frame(model, state, slots, frame + 1, codes)
        trace.codes.append(codes)
    return trace


def logits_along(model: FrameModel, trace: Trace) -> Iterator[list[Tensor]]:
    """Returns for each frame the logits of its 16 codes, the model being fed the trace, not what it would say."""
    dtype = model.pad.dtype
    kv = KvCache.allocate(model.talker.stack, COMPARED_CALLS, len(trace.inputs))
    sub_kv = KvCache.allocate(model.predictor.stack, COMPARED_CALLS, CODE_GROUPS)
    for frame, (x, codes) in enumerate(zip(trace.inputs, trace.codes, strict=True)):
        positions = torch.full((COMPARED_CALLS,), frame, device=x.device)
        hidden, first = talker.step(model.talker, x.to(dtype), positions, kv, None, frame + 1)
        all_logits = [first]

        def told(logits: Tensor, group: int, codes: Tensor = codes, all_logits: list[Tensor] = all_logits) -> Tensor:
            all_logits.append(logits)
            return codes[:, group]

        embedded = model.talker.embedding[codes[:, 0]]
        predictor.predict(model.predictor, hidden, embedded, sub_kv, told, codes.clone())
        yield all_logits


def errors(model: FrameModel, reference: FrameModel, trace: Trace) -> dict[str, float]:
    """Returns the KL divergence in nats, and how often the likeliest code is the same: of code 0, and of all 16."""
    sums = {"kl": 0.0, "top1": 0.0, "codes": 0.0, "deviation": 0.0}
    for ours, theirs in zip(logits_along(model, trace), logits_along(reference, trace), strict=True):
        told = [logits.log_softmax(-1) for logits in theirs]
        sums["kl"] += float(
            torch.nn.functional.kl_div(ours[0].log_softmax(-1), told[0], log_target=True, reduction="batchmean")
        )
        same = [(a.argmax(-1) == b.argmax(-1)).float().mean() for a, b in zip(ours, theirs, strict=True)]
        sums["top1"] += float(same[0])
        sums["codes"] += float(torch.stack(same).mean())
        sums["deviation"] += float((ours[0] - theirs[0]).std() / theirs[0].std())
    return {name: value / len(trace.inputs) for name, value in sums.items()}


# What it takes


def median_ms(work: Callable[[], None], times: int = 5) -> float:
    work()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    marks[-1].synchronize()
    spans = sorted(a.elapsed_time(b) for a, b in pairwise(marks))
    return float(spans[len(spans) // 2])


def plain_ms(model: FrameModel, batch: int, capture: bool) -> float:
    """Times plain PyTorch, in a graph if it is to be captured."""
    state = DecodeState.allocate(model.talker, model.predictor, batch, 256, 1)
    slots = torch.arange(batch, device=state.x.device)
    codes = torch.zeros(batch, CODE_GROUPS, dtype=torch.int64, device=state.x.device)

    def frame() -> None:
        decode_frame(model, state, slots, 256, codes)

    state.position.fill_(POSITION)
    if not capture:
        return median_ms(frame)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        frame()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        frame()
    return median_ms(graph.replay)


def graphs_ms(model: FrameModel) -> dict[int, float]:
    """Times what the engine runs."""
    from engine.qwen3.cuda.graphs import Capture, FrameGraphs
    from engine.qwen3.cuda.tuning import Tuning

    state = DecodeState.allocate(model.talker, model.predictor, max(BATCHES), 512, 1)
    capture = Capture(torch.cuda.Stream(), enabled=True)
    frames = FrameGraphs(model, state, capture, Tuning("benchmark", Path(tempfile.mkdtemp())), max(BATCHES))
    return {batch: frames.seconds[batch] * 1e3 for batch in BATCHES}


def run(size: str, frames: int, graphs: bool, device: torch.device) -> None:
    plain = build(size, device, torch.bfloat16)
    exact = build(size, device, torch.float32)
    # The same numbers: bfloat16's, widened.
    exact = replace(exact, talker=_widened(plain.talker), predictor=_widened(plain.predictor), pad=plain.pad.float())
    trace = record(plain, frames)
    rounding = errors(plain, exact, trace)
    print(
        f"\n{size}: bfloat16 against float32, {frames} frames of {COMPARED_CALLS} calls: KL {rounding['kl']:.2e} nats, "
        f"same code 0 {rounding['top1']:.1%}, same codes {rounding['codes']:.1%}, "
        f"logits off by {rounding['deviation']:.2%} of their deviation"
    )
    del exact
    print(f"\n| {size} | weights | KL, nats | same code 0 | same codes | logits off by |", end="")
    print("".join(f" plain {batch} | graphs {batch} |" for batch in BATCHES))
    print("|---" * (6 + 2 * len(BATCHES)) + "|")
    for name, how in MODES.items():
        gc.collect()
        try:
            model = plain if how is None else convert(plain, how)
        except (ImportError, RuntimeError) as error:
            print(f"| {name} | not here: {str(error).splitlines()[0]} |")
            continue
        row = [name, f"{weight_bytes(model) / 2**20:.0f} MiB"]
        if how is None:
            row += ["-"] * 4
        else:
            off = errors(model, plain, trace)
            row += [f"{off['kl']:.2e}", f"{off['top1']:.1%}", f"{off['codes']:.1%}", f"{off['deviation']:.1%}"]
        if device.type == "cuda":
            captured = how is not to_bitsandbytes
            fast = graphs_ms(model) if captured and graphs else {}
            for batch in BATCHES:
                row += [f"{plain_ms(model, batch, captured):.2f} ms" + ("" if captured else " (no graph)")]
                row += [f"{fast[batch]:.2f} ms" if fast else "-"]
        print("| " + " | ".join(row) + " |", flush=True)
        del model
        torch.cuda.empty_cache()


def _widened(value: Any) -> Any:
    """Returns the same weights in float32."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(_widened(each) for each in value)
    if hasattr(value, "__dataclass_fields__"):
        return replace(value, **{name: _widened(getattr(value, name)) for name in value.__dataclass_fields__})
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["0.6B", "1.7B"], choices=[*TALKER_SIZES, "tiny"])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--no-graphs", dest="graphs", action="store_false", help="leave the kernels' columns empty")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(markdown([("machine", ""), *gpu_facts()]), "\n")
    torch.backends.cuda.matmul.allow_tf32 = False  # or float32 would not be the reference that it is meant to be
    with torch.inference_mode():
        for size in arguments.sizes:
            run(size, arguments.frames, arguments.graphs, device)


if __name__ == "__main__":
    main()
