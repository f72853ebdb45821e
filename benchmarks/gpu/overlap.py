"""`tts_gpu profile`: what each stream does a step, and how much of sound and copies runs beside the frames."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.load import Load, a_sentence, drain
from benchmarks.gpu.models import build_runner

CALLS = 64
BEFORE_STEPS, STEPS = 12, 40
"""The steps that are profiled, while the calls are new: later they have seconds of lead, and the GPU rests."""
FRAME_MARKS, SOUND_MARKS = ("_first", "_next", "_attend"), ("_window", "_conv", "_remember")
"""The kernels that only frames have, and those that only sound has."""

Span = tuple[float, float]


def union(spans: Iterable[Span]) -> list[Span]:
    """Returns what the spans cover, as spans that do not touch, in order."""
    out: list[Span] = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((begin, end))
    return out


def length(spans: Iterable[Span]) -> float:
    return sum(end - begin for begin, end in spans)


def common(first: list[Span], second: list[Span]) -> float:
    """Returns how long both are covered; each is a result of `union`."""
    return length(first) + length(second) - length(union([*first, *second]))


def roles(events: list[dict[str, Any]]) -> dict[Any, str]:
    """Tells which stream is which, by what it runs."""
    ran: dict[Any, Counter[str]] = {}
    for event in events:
        seen, name = ran.setdefault(event["args"]["stream"], Counter()), event["name"]
        seen["synthesis"] += name.startswith(FRAME_MARKS)
        seen["codec"] += name.startswith(SOUND_MARKS)
        seen["transfer"] += "DtoH" in name
    out = {}
    for stream, seen in ran.items():
        role, times = max(seen.items(), key=lambda item: (item[0] != "transfer", item[1]))
        out[stream] = role if times else "transfer" if seen["transfer"] else "other"
    return out


def report(events: list[dict[str, Any]], steps: int) -> str:
    """Returns a table of how far the streams overlap. events: the GPU's in a Chrome trace, times in microseconds."""
    of_stream = roles(events)
    spans: dict[str, list[Span]] = {}
    for event in events:
        role = of_stream[event["args"]["stream"]]
        spans.setdefault(role, []).append((event["ts"], event["ts"] + event["dur"]))
    busy = {role: union(each) for role, each in spans.items()}
    every = union(span for each in spans.values() for span in each)
    wall = max(end for _, end in every) - min(begin for begin, _ in every)
    lines = [f"{'stream':12s} busy ms a step   launches a step"]
    for role in sorted(busy):
        lines.append(f"{role:12s} {length(busy[role]) / steps / 1e3:14.2f} {len(spans[role]) / steps:17.0f}")
    beside = union([*busy.get("codec", []), *busy.get("transfer", [])])
    shared = common(beside, busy.get("synthesis", []))
    lines.append(
        f"of {length(beside) / steps / 1e3:.2f} ms a step of codec and transfer, {shared / steps / 1e3:.2f} ms "
        f"({shared / max(length(beside), 1e-9):.0%}) run while synthesis does; one after the other the streams would "
        f"take {sum(map(length, busy.values())) / steps / 1e3:.2f} ms a step, together they take "
        f"{length(every) / steps / 1e3:.2f} of {wall / steps / 1e3:.2f} ms"
    )
    return "\n".join(lines)


def gpu_events(profiler: torch.profiler.profile, trace: Path | None = None) -> list[dict[str, Any]]:
    """Returns what the GPU did, as events of a Chrome trace in microseconds; writes the whole trace to `trace`."""
    path = trace or Path(tempfile.mkdtemp()) / "trace.json"
    profiler.export_chrome_trace(str(path))
    events = json.loads(path.read_text())["traceEvents"]
    return [event for event in events if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]


def profile(size: str, trace: Path | None) -> None:
    runner, model = build_runner(size, "none", CALLS)
    load = Load(runner, model.talker.stack.hidden)
    load.warm_voices()
    for _ in range(CALLS):
        load.say(a_sentence(load))
    for _ in range(BEFORE_STEPS):
        load.step()
    kinds = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profiler:
        for _ in range(STEPS):
            for _ in load.step():
                load.say(a_sentence(load))
        torch.cuda.synchronize()
    events = gpu_events(profiler, trace)
    print(f"\n{size}, {CALLS} calls, {STEPS} steps{f'; trace in {trace}' if trace else ''}")
    print(report(events, STEPS) if events else "the profiler saw no kernel: CUPTI cannot be used here")
    drain(load)
