"""Measures where the Qwen3-TTS process's start and its GPU memory go, from its first instruction on.

    python -m benchmarks.tts_start [--size 0.6B] [--quantize none int8] [--callers 16]

Each row is a part of the start: its seconds, and what the GPU's memory is after it: all of it by the driver's count,
and PyTorch's share. The checkpoint has the true size and format and random weights. "Cold" has no compiled kernels and
no tuning; the checkpoint has just been written, so it comes from the page cache and not from a disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.qwen3.host.process import worker_environment

BEGUN = "BENCHMARK_BEGUN_S"
"""The time.monotonic at which the process was asked for."""
SHOWN_S = 0.02


class Parts:
    """A row for each part, as it ends. Parts are told innermost first; what is left of the outer one comes after."""

    def __init__(self) -> None:
        self._at = float(os.environ[BEGUN])

    def end(self, name: str, however_short: bool = False) -> None:
        """Counts all the time since the last part's end as `name`."""
        import torch

        counts = ["–"] * 3
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
            free, total = torch.cuda.mem_get_info()
            used = (total - free, torch.cuda.memory_reserved(), torch.cuda.memory_allocated())
            counts = [f"{each / 2**20:,.0f}" for each in used]
        now = time.monotonic()
        if now - self._at < SHOWN_S and not however_short:
            return  # counted with the next
        print(f"| {name} | {now - self._at:.2f} | {' | '.join(counts)} |", flush=True)
        self._at = now

    def watch(self, owner: Any, name: str, told: str, before: str | None = None) -> None:
        """Counts `owner.name` as a part called `told`, and what comes before it as one called `before`."""
        inner: Callable[..., Any] = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                self.end(before)
            try:
                return inner(*args, **kwargs)
            finally:
                self.end(told)

        setattr(owner, name, outer)


def once(folder: str, quantize: str, device: str, callers: int) -> None:
    """Runs in the process that is measured."""
    parts = Parts()
    import torch

    from engine.qwen3.model import checkpoint
    from engine.qwen3.worker import build as assemble
    from engine.qwen3.worker import main as serve  # noqa: F401 (what the engine's process imports)

    parts.end("Python, torch and ours")
    from engine.qwen3.settings import QwenSettings

    if device == "cuda":
        torch.ones(1, device="cuda")
        parts.end("CUDA's context")
        from engine.qwen3.cuda import graph_runner
        from engine.qwen3.cuda.fast_slots import FastSlots

        parts.watch(FastSlots, "__init__", "state of the calls")
        for name, told in (("launch", "compiling"), ("build", "graphs")):
            for owner in (graph_runner.FrameGraphs, graph_runner.PrefillGraphs, graph_runner.SoundGraphs):
                parts.watch(owner, name, f"{told}: {owner.__name__}")
    parts.watch(checkpoint, "read_files", "the files opened, the tokenizer made", "what was imported late")
    for name in ("take_codec", "take_talker", "take_predictor"):
        parts.watch(checkpoint, name, f"{name.removeprefix('take_')} read, packed and converted")
    parts.watch(assemble, "load", "the rest of loading")
    parts.watch(assemble, "warm_up", "first sentences", "the rest of the runner")
    settings = QwenSettings(
        model_id=folder, device=device, dtype="bfloat16" if device == "cuda" else "float32",
        quantize=quantize, max_batch=callers,  # type: ignore[arg-type]
    )  # fmt: skip
    assembly = assemble.build(settings)
    parts.end("the rest")
    if assembly.checkpoint.encoders is not None:
        _speak_as_a_clone(parts, assembly)
    whole = time.monotonic() - float(os.environ[BEGUN])
    print(f"| **all** | **{whole:.2f}** | | | {assembly.facts['runner']}, {'; '.join(assembly.warnings)} |")


def _speak_as_a_clone(parts: Parts, assembly: Any) -> None:
    """A Base model's first sound is a voice's that was learnt, or is known from the last start."""
    import numpy as np
    import torch

    from engine.qwen3.batch.sentence import Sentence
    from engine.qwen3.messages import Speak
    from engine.qwen3.model.speakers import cloned_speaker

    with torch.inference_mode():
        pcm = (np.random.default_rng(1).normal(size=5 * 24000) * 3000).astype(np.int16)
        voice = cloned_speaker(assembly.checkpoint, "a recording", pcm, 24000, "what is said in it", keep=True)
        parts.end("a voice of 5 s learnt, or known")
        prompt = assembly.checkpoint.prompts.build(assembly.checkpoint.tokenizer.text("Hello."), voice)
        sentence = Sentence(Speak(0, "", "")).build(prompt, assembly.checkpoint.sampling, 4)
        assert assembly.runner.admit(sentence)
        while not any(made.pcm.size for made in assembly.runner.step()):
            pass
        parts.end("its first sound")
        assembly.runner.remove(sentence)
        assembly.slots.shrink()
        parts.end("memory given back", however_short=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="0.6B", choices=["tiny", "0.6B", "1.7B"])
    parser.add_argument("--quantize", nargs="+", default=["none", "int8"])
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--kind", default="custom_voice", choices=["custom_voice", "base", "voice_design"])
    parser.add_argument("--once", nargs=3, metavar=("FOLDER", "QUANTIZE", "DEVICE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        once(*arguments.once, arguments.callers)
        return
    import torch

    from benchmarks.machine import gpu_facts
    from benchmarks.table import markdown
    from tests.support.qwen3.checkpoints import build_checkpoint

    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(markdown([("machine", ""), *gpu_facts()]), "\n")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        checkpoint, caches = Path(folder) / "checkpoint", Path(folder) / "caches"
        build_checkpoint(checkpoint, arguments.kind, arguments.size, dtype=torch.bfloat16)
        print(f"checkpoint made in {time.monotonic() - begin:.1f} s", flush=True)
        for quantize in arguments.quantize:
            for state in ("cold", "warm"):
                print(f"\n| QUANTIZE={quantize}, {state} | s | GPU, MiB | reserved | allocated |")
                print("| --- | ---: | ---: | ---: | ---: |", flush=True)
                environment = os.environ | worker_environment() | {
                    "TRITON_CACHE_DIR": str(caches / quantize / "triton"), "XDG_CACHE_HOME": str(caches / quantize)
                }  # fmt: skip
                command = [sys.executable, "-m", "benchmarks.tts_start", "--callers", str(arguments.callers), "--once"]
                subprocess.run(
                    [*command, str(checkpoint), quantize, device],
                    env=environment | {BEGUN: str(time.monotonic())}, check=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
