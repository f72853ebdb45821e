"""Measures the whole Qwen3-TTS engine, process and pipes included: load, first sound, many at once, unload, a fault.

    python -m benchmarks.tts_engine [--size 0.6B] [--quantize none int8 fp8]

The checkpoint is made here, in the true size and the real format, with random weights: speed and memory do not depend
on their values. "First sound" is from `stream` being asked to the first PCM in the asking process; each sentence is
then listened to for 3 s of sound and cut short, since the engine makes no more than 4 s ahead of who hears it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import torch

from benchmarks.machine import gpu_facts
from benchmarks.table import markdown
from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.settings import QwenSettings
from engine.settings import VoiceSettings
from engine.speech import SpeechError, Style
from tests.support.qwen3.checkpoints import build_checkpoint

HEARD_S = 3.0
UNLOADED_S = 20.0
"""A rest long enough for the next process to import what it needs, as there is after a real unload."""
CONTEXT = """
import torch
torch.ones(1, device="cuda")
free, total = torch.cuda.mem_get_info()
print((total - free - torch.cuda.memory_reserved()) // 2**20)
"""
SENTENCE = "I have moved your appointment to Tuesday at half past nine."


def used_mib() -> int:
    """Returns the GPU memory in use, of all processes together."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return (total - free) // 2**20


def context_mib() -> int:
    """Returns the GPU memory of one process."""
    if not torch.cuda.is_available():
        return 0
    before = used_mib()
    done = subprocess.run([sys.executable, "-c", CONTEXT], capture_output=True, text=True, check=True)
    return int(done.stdout) - before


async def listen(engine: Qwen3Engine, seed: int) -> tuple[float, float, float]:
    """Returns the seconds until the first sound, and until HEARD_S of it or its end, and how much that is."""
    begin, first, samples = time.perf_counter(), 0.0, 0
    async with aclosing(engine.stream(SENTENCE, Style(language="en", seed=seed))) as stream:
        async for pcm in stream:
            first = first or time.perf_counter() - begin
            samples += len(pcm)
            if samples >= HEARD_S * engine.sample_rate_hz:
                break
    return first, time.perf_counter() - begin, samples / engine.sample_rate_hz


async def until(engine: Qwen3Engine, state: str) -> float:
    begin = time.perf_counter()
    while engine.status().details["state"] != state:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.perf_counter() - begin


def spread(values: Sequence[float], unit: float = 1e3, name: str = "ms") -> str:
    ordered = sorted(values)
    middle, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"{middle * unit:.1f} {name} (p95 {high * unit:.1f}, {len(ordered)} sentences)"


async def run(folder: Path, quantize: str, device: str, callers: int) -> None:
    settings = QwenSettings(
        model_id=str(folder),
        device=device,
        dtype="bfloat16" if device == "cuda" else "float32",
        quantize=quantize,  # type: ignore[arg-type]
        max_batch=callers,
        idle_timeout=1.0,
    )
    engine = Qwen3Engine(settings, VoiceSettings(), 300.0)
    context, before = context_mib(), used_mib()
    begin = time.perf_counter()
    await engine.start()
    rows = [("start, kernels not yet compiled", f"{time.perf_counter() - begin:.1f} s")]
    alone = [await listen(engine, seed) for seed in range(20)]
    begin = time.perf_counter()
    together = await asyncio.gather(*(listen(engine, seed) for seed in range(callers)))
    wall_s = time.perf_counter() - begin
    status = engine.status().told()
    rows += [
        ("runner, quantization", f"{status['runner']}, {status['quantize']}"),
        ("GPU memory with the model", f"{used_mib() - before} MiB"),
        ("… of it a bare CUDA context", f"{context} MiB"),
        *(
            (f"… of it {name} by PyTorch", f"{status[f'gpu_{name}_mb']} MiB")
            for name in ("allocated", "reserved")
            if f"gpu_{name}_mb" in status
        ),
        ("first sound, alone", spread([first for first, _, _ in alone])),
        ("speed, alone", f"{sum(s for *_, s in alone) / sum(all_s for _, all_s, _ in alone):.1f} x realtime"),
        (f"first sound, {callers} at once for as many places", spread([first for first, _, _ in together])),
        ("speed, together", f"{sum(s for *_, s in together) / wall_s:.0f} x realtime in total"),
        ("warnings", "; ".join(status["warnings"]) or "none"),
    ]
    await until(engine, "unloaded")
    while used_mib() > before + 64:  # noqa: ASYNC110 (nothing tells when a driver has given memory back)
        await asyncio.sleep(0.05)
    rows.append(("GPU memory after IDLE_TIMEOUT", f"{used_mib() - before} MiB"))
    await asyncio.sleep(UNLOADED_S)
    rows.append((f"… and {UNLOADED_S:.0f} s later, the next process standing by", f"{used_mib() - before} MiB"))
    first, *_ = await listen(engine, 0)
    rows.append(("first sound then", f"{first:.1f} s"))
    stream = engine.stream(SENTENCE, Style())
    await anext(stream)
    pid = engine.status().details["pid"]
    os.kill(pid, signal.SIGKILL)
    begin = time.perf_counter()
    try:
        async for _ in stream:
            pass
        rows.append(("process killed while speaking", "the sentence had been made already"))
    except SpeechError as error:
        rows.append((f"process killed: told after {(time.perf_counter() - begin) * 1e3:.0f} ms", str(error)))
    await until(engine, "rebuilding")
    rows.append(("speaking again after", f"{await until(engine, 'ready'):.1f} s"))
    await listen(engine, 0)
    await engine.close()
    print(f"\n| QUANTIZE={quantize} | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="0.6B", choices=["tiny", "0.6B", "1.7B"])
    parser.add_argument("--quantize", nargs="+", default=["int8"])
    parser.add_argument("--callers", type=int, default=16)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(markdown([("machine", ""), *gpu_facts()]), "\n")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        build_checkpoint(Path(folder), "custom_voice", arguments.size, device=device, dtype=torch.bfloat16)
        size_mib = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) // 2**20
        print(f"checkpoint of {size_mib} MiB made in {time.perf_counter() - begin:.1f} s", flush=True)
        torch.cuda.empty_cache()
        for quantize in arguments.quantize:
            asyncio.run(run(Path(folder), quantize, device, arguments.callers))


if __name__ == "__main__":
    main()
