"""`tts_gpu soak`: as many paced calls as the GPU carries, for minutes, and what is held meanwhile.

Each call stays for 30 to 90 s and another comes in its place, so that first sounds are heard all the time.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.load import percentile
from benchmarks.gpu.models import build_runner
from benchmarks.gpu.paced import Heard, run_paced
from benchmarks.machine import memory_bytes

STAY_S = (30.0, 90.0)
LEAD_S = 0.8
MIB = 2**20
WARM_UP_S = 60.0
"""The time that the slopes leave out: buffers grow to their size."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen since the look before, and what is held now."""

    at_s: float
    first_ms: tuple[float, float, float]
    """The first sounds' p50, p95 and maximum."""
    new: int
    late: int
    worst_ms: float
    frames: int
    gpu_share: float
    gpu_mib: float
    """Of the whole GPU, by the driver."""
    tensors_mib: float
    resident_mib: float
    descriptors: int

    @property
    def row(self) -> str:
        p50, p95, most = self.first_ms
        return (
            f"{self.at_s:.0f} | {self.new} | {p50:.1f} | {p95:.1f} | {most:.0f} | {self.frames} | {self.late}"
            f" | {self.worst_ms:.0f} | {self.gpu_share:.0%} | {self.gpu_mib:.0f} | {self.tensors_mib:.0f}"
            f" | {self.resident_mib:.0f} | {self.descriptors}"
        )


def slope_mib_h(looks: list[Look], name: str) -> float:
    """Returns by how many MiB an hour something grows, once all is warm."""
    warm = [each for each in looks if each.at_s > WARM_UP_S]
    if len(warm) < 3:
        return float("nan")
    slope, _ = np.polyfit([each.at_s / 3600 for each in warm], [getattr(each, name) for each in warm], 1)
    return float(slope)


def soak(size: str, quantize: str, calls: int, seconds: float, joining_s: float, plot: Path | None) -> None:
    """Has `calls` calls speak for so long, and prints a row twice a minute, and the slopes."""
    runner, model = build_runner(size, quantize, calls)
    runner.scheduler.lead_s = LEAD_S
    print(f"\n{size} {quantize}, {calls} calls at the pace of speech, each for {STAY_S[0]:g} to {STAY_S[1]:g} s")
    print("s | new calls | first sound p50, ms | p95 | max | frames | late chunks | worst, ms | GPU for us |"
          " GPU, MiB | tensors | process, MiB | descriptors", flush=True)  # fmt: skip
    looks: list[Look] = []
    seen = [0, 0, 0]

    def look(heard: Heard, at_s: float) -> None:
        first = [each * 1e3 for each in heard.first_s[seen[0] :]]
        late = heard.late_s[seen[1] :]
        free, total = torch.cuda.mem_get_info()
        looks.append(
            Look(
                *(at_s, (percentile(first, 50), percentile(first, 95), max(first, default=0.0)), len(first)),
                *(len(late), max(late, default=0) * 1e3, heard.frames - seen[2]),
                runner.scheduler.use.load(time.monotonic()),
                *((total - free) / MIB, torch.cuda.memory_allocated() / MIB, memory_bytes(os.getpid()) / MIB),
                len(os.listdir("/proc/self/fd")),
            )
        )
        seen[:] = len(heard.first_s), len(heard.late_s), heard.frames
        print(looks[-1].row, flush=True)

    worked_s, begun_s = time.process_time(), time.perf_counter()
    heard = run_paced(runner, model.talker.stack.hidden, calls, seconds, joining_s, STAY_S, look)
    core = (time.process_time() - worked_s) / (time.perf_counter() - begun_s)
    first = [each * 1e3 for each in heard.first_s]
    print(
        f"all: {len(first)} first sounds, p50 {percentile(first, 50):.1f}, p95 {percentile(first, 95):.1f}, p99"
        f" {percentile(first, 99):.1f} ms; {heard.frames} frames, {len(heard.late_s)} chunks late, by"
        f" {max(heard.late_s, default=0) * 1e3:.0f} ms at most; {heard.refused} refused; {core:.0%} of a core"
    )
    names = {"gpu_mib": "GPU", "tensors_mib": "tensors", "resident_mib": "process"}
    print("; ".join(f"{told} {slope_mib_h(looks, name):+.1f} MiB an hour" for name, told in names.items()), flush=True)
    if plot is not None:
        draw(looks, plot, f"{calls} calls of Qwen3-TTS {size} on one {torch.cuda.get_device_name()}")


def draw(looks: list[Look], path: Path, title: str) -> None:
    """Draws first sounds, lateness and memory over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    minutes = [each.at_s / 60 for each in looks]
    figure, (sound, memory) = pyplot.subplots(2, 1, figsize=(7, 4.5), sharex=True, layout="constrained")
    sound.plot(minutes, [each.first_ms[1] for each in looks], label="first sound, p95")
    sound.plot(minutes, [each.first_ms[0] for each in looks], label="first sound, p50")
    sound.plot(minutes, [each.worst_ms for each in looks], label="latest chunk of a call that speaks")
    sound.set_ylabel("ms")
    sound.set_ylim(bottom=0)
    memory.plot(minutes, [each.gpu_mib / 1024 for each in looks], label="GPU")
    memory.plot(minutes, [each.resident_mib / 1024 for each in looks], label="process")
    memory.set_ylabel("memory, GiB")
    memory.set_ylim(bottom=0)
    memory.set_xlabel("minutes")
    sound.set_title(title)
    for axes in (sound, memory):
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=90)
