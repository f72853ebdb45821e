"""Measures how evenly frames come with many calls that hear audio already made; ours and the peer in turn."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.machine import Usage, memory_bytes
from benchmarks.servers import CLIP_TEXT, Running, serving
from bridge.dial.command import CallPlan, place_calls
from bridge.dial.report import Report

SETTLE_S = 2.0
"""The time left out after the last call is up: then all speak, and the peer's burst at its start is not counted."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of simultaneous calls at one server."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    p999_exact_ms: float
    """The same without the frames whose time is an upper bound."""
    max_ms: float
    frames: int
    missing: int
    voiced_share: float
    server_share: float
    """A share of one core, as the next two are."""
    caller_share: float
    others_share: float
    call_kib: float
    """The growth of the server's resident memory for each call."""
    upper_bounds: int
    """The frames whose time is an upper bound."""
    callers_late_ms: float
    """How late this process was at the worst."""


async def measure(server: Running, plan: CallPlan) -> Round:
    """Place the calls of `plan` and watch the processes meanwhile."""
    idle_bytes = memory_bytes(server.pid)
    watching = asyncio.create_task(_watch(server.pid, plan))
    report = await place_calls(plan)
    shares, busy_bytes = await watching
    lateness, exact = report.lateness, report.exact_lateness
    if lateness is None or exact is None:
        raise RuntimeError(f"no frames came: {report.faults}")
    return Round(
        lateness.p50,
        lateness.p99,
        lateness.p999,
        exact.p999,
        lateness.max,
        report.frames[0],
        report.missing,
        _voiced_share(report),
        *shares,
        (busy_bytes - idle_bytes) / 1024 / plan.calls,
        report.upper_bounds,
        max(call.caller.late_s for call in report.placed) * 1000,
    )


async def _watch(pid: int, plan: CallPlan) -> tuple[tuple[float, float, float], int]:
    """Returns shares and memory over the middle of the round, when all calls are up."""
    await asyncio.sleep(plan.settle_s + plan.calls * 0.004)
    before = Usage.now(pid)
    await asyncio.sleep(max(0.5, plan.seconds - plan.settle_s - 1.0))
    return Usage.now(pid).share_since(before), memory_bytes(pid)


def _voiced_share(report: Report) -> float:
    """Returns the voiced share of the last second's frames, so that nobody is measured sending silence."""
    last = [call.caller.received.voiced[-50:] for call in report.placed]
    return float(np.concatenate(last).mean())


async def compare(
    names: list[str], loads: list[int], seconds: float, repeats: int, clip: Path
) -> dict[tuple[int, str], list[Round]]:
    """Measures every load at every server in turn, `repeats` times, with a fresh server process each time."""
    rounds: dict[tuple[int, str], list[Round]] = {(calls, name): [] for calls in loads for name in names}
    for repeat in range(repeats):
        for calls in loads:
            for name in names if repeat % 2 == 0 else reversed(names):
                async with serving(name, clip) as server:
                    plan = CallPlan(
                        port=server.port,
                        http_url=server.http_url,
                        calls=calls,
                        seconds=seconds + SETTLE_S,
                        settle_s=SETTLE_S,
                        say=CLIP_TEXT if server.http_url else "",
                    )
                    one = await measure(server, plan)
                rounds[calls, name].append(one)
                note = f"round {repeat + 1} of {repeats}, {calls} calls, {name}: p99.9 {one.p999_ms:.2f} ms"
                print(note, file=sys.stderr, flush=True)
    return rounds


HEAD = (
    *("calls", "server", "p50", "p99", "p99.9 (range)", "p99.9 exact", "max", "missing"),
    *("server", "callers", "others", "callers late", "a call"),
)


def row(calls: int, name: str, rounds: list[Round]) -> tuple[str, ...]:
    """Returns one line of the table: medians over the repeats, the worst maximum, and the range of p99.9."""
    p999_ms = [one.p999_ms for one in rounds]
    return (
        str(calls),
        name,
        f"{median(one.p50_ms for one in rounds):.2f}",
        f"{median(one.p99_ms for one in rounds):.2f}",
        f"{median(p999_ms):.2f} ({min(p999_ms):.2f}–{max(p999_ms):.2f})",
        f"{median(one.p999_exact_ms for one in rounds):.2f}",
        f"{max(one.max_ms for one in rounds):.1f}",
        f"{sum(one.missing for one in rounds)} of {sum(one.frames + one.missing for one in rounds):,}",
        f"{median(one.server_share for one in rounds):.0%}",
        f"{median(one.caller_share for one in rounds):.0%}",
        f"{median(one.others_share for one in rounds):.0%}",
        f"{max(one.callers_late_ms for one in rounds):.0f} ms",
        f"{median(one.call_kib for one in rounds):.0f} KiB" if calls >= 100 else "–",
    )
