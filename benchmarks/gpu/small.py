"""`tts_gpu small`: an RTX 4060's stand-in: a green context of 24 multiprocessors, without dependent launch.

What it stands in for is how many multiprocessors there are and how kernels are launched; memory and clocks are this
GPU's. Each format runs in a process of its own, and so does the neighbour, in a green context of the same size.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import torch

from benchmarks.gpu.green_context import MULTIPROCESSORS, enter
from benchmarks.gpu.models import DEVICE, build_runner
from benchmarks.gpu.paced import paced_rows
from engine.qwen3.cuda import events
from engine.qwen3.cuda.graphs import measure
from engine.qwen3.kernels import pdl

RTX_4060: int = 24
LEAD_MS = 800


def small(size: str, counts: Sequence[int], seconds: float) -> None:
    for quantize in ("none", "int8"):
        command = [sys.executable, "-m", "benchmarks.tts_gpu", "small-once", "--size", size, "--quantize", quantize]
        command += ["--seconds", str(seconds), "--calls", *map(str, counts)]
        subprocess.run(command, env=os.environ | {MULTIPROCESSORS: str(RTX_4060)}, check=True)


def small_once(size: str, quantize: str, counts: Sequence[int], seconds: float) -> None:
    enter(RTX_4060)
    pdl.supported = lambda device=None: False  # type: ignore[assignment]
    print(f"\n{size} {quantize}, {RTX_4060} multiprocessors of {torch.cuda.get_device_name()}, no dependent launch;"
          f" matrix products at {rate_tflop_s():.0f} TFLOP/s")  # fmt: skip
    runner, model = build_runner(size, quantize, max(counts), separate=True)
    for rows, seconds_a_frame in runner.frames.seconds.items():
        print(f"a frame of {rows}: {seconds_a_frame * 1e3:.2f} ms, {runner.frames.variants[rows].kind}")
    print(f"sound: {runner.costs.sound_s * 1e6:.0f} us a call and frame; capacity {runner.costs.capacity()}")
    paced_rows(runner, model.talker.stack.hidden, counts, seconds, (LEAD_MS,))
    events.few_cores = lambda: True
    print("waits sleep instead of spinning:")
    paced_rows(runner, model.talker.stack.hidden, counts[-2:], seconds, (LEAD_MS,), bursts=(0.0,))


def rate_tflop_s(side: int = 4096) -> float:
    """Returns the rate of a large product on a stream as the runner's: it tells whether the context is in force."""
    a, b = (torch.randn(side, side, device=DEVICE).bfloat16() for _ in range(2))
    with torch.cuda.stream(torch.cuda.Stream()):
        return 2 * side**3 / measure(lambda: a @ b) / 1e12  # type: ignore[arg-type, return-value]
