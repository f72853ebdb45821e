"""`tts_gpu kernels`: which kernels a frame's time goes to, by batch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch

from benchmarks.gpu.frames import build_frames
from benchmarks.gpu.overlap import gpu_events

BATCHES = (1, 16, 64)
FRAMES = 5
SHOWN = 12
GAP_US = 200.0
"""A gap longer than any kernel, which separates two frames."""


@dataclass
class Spent:
    launches: int = 0
    busy_us: float = 0.0
    """The time from its start to its end, waiting for what it depends on included."""
    step_us: float = 0.0
    """The time from the end of the kernel before it to its own; these add up to the frame."""


def kernels(size: str, quantize: str) -> None:
    made = build_frames(size, quantize, max(BATCHES))
    for rows in BATCHES:
        slots = list(range(rows))
        made.run(slots)
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            for _ in range(FRAMES):
                made.run(slots)
            torch.cuda.synchronize()
        spent: defaultdict[str, Spent] = defaultdict(Spent)
        end_us = 0.0
        for event in sorted(gpu_events(profiler), key=lambda event: event["ts"]):
            if event["cat"] != "kernel":
                continue
            over_us = event["ts"] + event["dur"]
            one = spent[f"{event['name'][:44]} {event['args'].get('grid')}"]
            one.launches += 1
            one.busy_us += event["dur"]
            if 0 < over_us - end_us < GAP_US:
                one.step_us += over_us - end_us
            end_us = max(over_us, end_us)
        variant = made.variants[rows].kind
        print(f"\n{size} {quantize}, {rows} calls: {made.seconds[rows] * 1e3:.2f} ms a frame, products by {variant}")
        print("launches a frame   us each: busy   from the one before   us a frame   kernel and grid")
        for name, one in sorted(spent.items(), key=lambda item: -item[1].step_us)[:SHOWN]:
            each = f"{one.busy_us / one.launches:14.2f} {one.step_us / one.launches:21.2f}"
            print(f"{one.launches / FRAMES:16.0f} {each} {one.step_us / FRAMES:12.0f}   {name}")
