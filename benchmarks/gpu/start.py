"""`tts_gpu start` and `tts_gpu memory`: what being ready takes, in time and in bytes."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.gpu.load import Load
from benchmarks.gpu.models import DEVICE, PREFIX_BYTES, build_model, build_runner
from engine.qwen3.cuda.fast_slots import FastSlots
from engine.qwen3.cuda.graph_runner import GraphRunner
from engine.qwen3.cuda.pinned import Streams
from engine.qwen3.cuda.tuning import Tuning
from tests.support.qwen3.random_codec import random_codec


def start(size: str, slots: int) -> None:
    """Measures starts, each in a fresh process: without compiled kernels and tuning, then with both on disk."""
    folder = Path(tempfile.mkdtemp())
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "triton"), "XDG_CACHE_HOME": str(folder)}
    for name in ("cold", "warm"):
        command = [sys.executable, "-m", "benchmarks.tts_gpu", "start-once", "--size", size, "--slots", str(slots)]
        out = subprocess.run(command, env=environment, capture_output=True, text=True)
        print(f"start-up {name}: {out.stdout.strip() or out.stderr[-400:]}")


def start_once(size: str, slots: int) -> None:
    """Measures the time from a loaded model to the first call's sound."""
    model = build_model(size, "none")
    weights = random_codec(DEVICE, torch.float32)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    fast = FastSlots(model, weights, slots, 192, 64, PREFIX_BYTES, Streams.make(DEVICE))
    allocated = time.perf_counter() - begin
    runner = GraphRunner(fast, Tuning("start"))
    ready = time.perf_counter() - begin
    load = Load(runner, model.talker.stack.hidden)
    load.say(4)
    load.finish()
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in {"state": allocated, **runner.start_s}.items())
    print(
        f"{ready:.1f} s for {slots} slots ({parts}), {runner.graphs} graphs on {os.cpu_count()} cores; the very first "
        f"sound {load.done[0].first_s * 1e3:.0f} ms"
    )


def memory(size: str) -> None:
    """Measures memory in processes of their own: what PyTorch reserves depends on all before it and its settings."""
    for name, setting in (
        ("by default", {}),
        ("expandable segments", {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}),
    ):
        environment = {**os.environ, **setting}
        command = [sys.executable, "-m", "benchmarks.tts_gpu", "memory-once", "--size", size]
        out = subprocess.run(command, env=environment, capture_output=True, text=True)
        print(f"memory, {name}: {out.stdout.strip() or out.stderr[-400:]}")


def memory_once(size: str) -> None:
    """Measures what 16 calls take with int8 weights and sentences of up to 60 s, without the framework's share."""
    runner, model = build_runner(size, "int8", 16, 768, 768)
    gc.collect()
    torch.cuda.empty_cache()
    slots = runner._slots
    kv, codec = slots.state.talker_kv, slots.fast_codec
    layers = [y for stack in (model.talker.stack, model.predictor.stack) for y in stack.layers]
    parts = {
        "keys and values": kv.nbytes,
        "the other state": slots.state.nbytes - kv.nbytes,
        "the codec's state": codec.state.nbytes + codec.kv.nbytes,
        "the codec's buffers": codec.arena.nbytes,
        "layers in 8 bits": sum(m.nbytes for y in layers for m in (y.qkv, y.o, y.gate_up, y.down)),
        "code tables and heads": model.talker.embedding.nbytes + model.predictor.embeddings.nbytes
        + model.talker.head.nbytes + sum(head.nbytes for head in model.predictor.heads),
    }  # fmt: skip
    tensors, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    print(
        f"{size} int8, 16 calls of 768 positions: {tensors / 1e9:.2f} GB ({tensors / 2**30:.2f} GiB) in tensors, "
        f"{reserved / 1e9:.2f} GB ({reserved / 2**30:.2f} GiB) reserved; goal 3 GB"
    )
    for name, size_bytes in parts.items():
        print(f"  {name:24s} {size_bytes / 2**20:8.0f} MiB")
    print(f"  {'other tensors':24s} {(tensors - sum(parts.values())) / 2**20:8.0f} MiB")
