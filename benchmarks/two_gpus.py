"""Measures two engine processes, one on each GPU, beside one: python -m benchmarks.two_gpus

Both replicas (`talkspurt engine`) run all the time; listeners in processes of their own know one of them or both.
Free listeners ask as fast as they are answered: what comes tells how much the engines make. Paced ones listen at the
pace of speech: what comes late tells how many they carry. At last the model's process of one replica is killed while
all speak, and the table tells what its calls heard. Every sentence is as long as `MAX_POSITIONS` lets it be (4.3 s).
To try it without a GPU: `--device cpu --size tiny --free 2 --paced 2`, with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import uvloop

from benchmarks.gpu_replicas import GpuReplica, build_checkpoint, gpu_replicas
from benchmarks.machine import Usage, facts
from benchmarks.table import markdown
from benchmarks.two_gpus_listeners import Found, Plan, found_of
from engine.qwen3.settings import SAMPLE_RATE_HZ

GOAL: Final = 1.95
START_S: Final = 3.0
JOIN_S: Final = 2.0
SETTLE_S: Final = 3.0
HEAD: Final = (
    *("engines", "listeners", "× realtime", "gain", "first sound p50, ms", "p95", "first sounds", "pieces late of"),
    *("worst, ms", "failed", "replicas' share of a core, each", "models', each"),
)


def percentiles(values: Sequence[float], *shares: float) -> list[float]:
    """Returns percentiles; NaN where there are no values."""
    return [float(each) for each in np.percentile(values, shares)] if values else [float("nan")] * len(shares)


async def listen(
    replicas: Sequence[GpuReplica],
    listeners: int,
    paced: bool,
    args: argparse.Namespace,
    kill: GpuReplica | None = None,
) -> tuple[list[Found], float, float, list[list[float]]]:
    """Has so many listeners hear, and perhaps one model killed in the middle. Returns what they found, when it was
    measured (or killed and measured), and what share of a core the replicas' processes took."""
    begin_s = time.monotonic() + START_S
    joined_s = begin_s + JOIN_S
    from_s, until_s = joined_s + SETTLE_S, joined_s + SETTLE_S + args.seconds
    with tempfile.TemporaryDirectory() as folder:
        counts = [
            listeners // args.processes + (number < listeners % args.processes) for number in range(args.processes)
        ]
        ports = [each.port for each in replicas]
        plans = [
            Plan(ports, count, paced, begin_s, joined_s, from_s, until_s, number, f"{folder}/{number}")
            for number, count in enumerate(counts)
            if count
        ]
        command = (sys.executable, "-m", "benchmarks.two_gpus_listeners")
        processes = [await asyncio.create_subprocess_exec(*command, json.dumps(asdict(plan))) for plan in plans]
        await asyncio.sleep(from_s - time.monotonic())
        pids = [each.pids() for each in replicas]
        before = [[Usage.now(pid) for pid in each] for each in pids]
        if kill is not None:
            from_s = time.monotonic()
            os.kill(kill.pids()[1], signal.SIGKILL)
        await asyncio.sleep(until_s - time.monotonic())
        shares = [
            [Usage.now(pid).share_since(was)[0] for pid, was in zip(each, of, strict=True)]
            for each, of in zip(pids, before, strict=True)
            if kill is None
        ]
        for process in processes:
            await process.wait()
        return [found_of(plan) for plan in plans], from_s, until_s, shares


def row(
    engines: int,
    listeners: int,
    alone: float,
    found: Sequence[Found],
    from_s: float,
    until_s: float,
    shares: list[list[float]],
) -> tuple[float, tuple[str, ...]]:
    """Returns the speed, × realtime, and the line of the table. `alone` is the speed of one engine; 0 where unknown."""
    pieces = [samples for one in found for at_s, samples in one.pieces if from_s <= at_s <= until_s]
    speed = sum(pieces) / SAMPLE_RATE_HZ / (until_s - from_s)
    sentences = [each for one in found for each in one.sentences if each.ended_s >= from_s]
    first_ms = [(each.first_s - each.asked_s) * 1e3 for each in sentences if each.fresh and each.first_s]
    late_ms = [late_s * 1e3 for each in sentences for at_s, late_s in each.gaps if at_s >= from_s]
    p50, p95 = percentiles(first_ms, 50, 95)
    return speed, (
        *(str(engines), f"{listeners:,}", f"{speed:,.0f}", f"{speed / alone:.2f}" if alone else "–"),
        *(f"{p50:.1f}", f"{p95:.1f}", f"{len(first_ms):,}", f"{len(late_ms):,} of {len(pieces):,}"),
        *(f"{max(late_ms, default=0):.0f}", str(sum(bool(each.error) for each in sentences))),
        *(" + ".join(f"{each[place]:.0%}" for each in shares) for place in (0, 1)),
    )


def told_of_kill(found: Sequence[Found], killed_s: float) -> str:
    """Returns what became of the sentences that were being made when a model was killed."""
    sentences = [each for one in found for each in one.sentences]
    lengths = Counter(each.samples for each in sentences if not each.error)
    whole = max(lengths, key=lambda samples: lengths[samples], default=0)
    during = [each for each in sentences if each.first_s and each.first_s < killed_s < each.ended_s]
    off_ms = [(each.samples - whole) / SAMPLE_RATE_HZ * 1e3 for each in during if not each.error]
    moved = [value for value in off_ms if value]
    gaps_ms = [sum(late_s for at_s, late_s in each.gaps if at_s >= killed_s) * 1e3 for each in during]
    after = [each for each in sentences if each.asked_s >= killed_s]
    errors = Counter(each.error for each in sentences if each.error)
    rows: list[tuple[str, str]] = [
        ("", ""),
        ("sentences being made when it was killed, of both", f"{len(during):,}"),
        ("… that another engine went on with", f"{sum(one.moved for one in found):,}"),
        ("… that ended with an error", f"{sum(bool(each.error) for each in during)}"),
        ("silence in the middle of them p50, p99, max, ms", _three(gaps_ms, 50, 99, 100)),
        ("sound that is lost (below 0) or said twice, of those not of the same length, p5, p50, p95, ms",
         _three(moved, 5, 50, 95)),
        ("sentences asked for afterwards, and those that failed",
         f"{len(after):,}, {sum(bool(each.error) for each in after)}"),
        ("errors", "; ".join(f"{count} × {error}" for error, count in errors.most_common(3)) or "none"),
    ]  # fmt: skip
    return markdown(rows)


def _three(values: Sequence[float], *shares: float) -> str:
    return ", ".join(f"{each:.0f}" for each in percentiles(values, *shares)) + f" (of {len(values):,})"


async def run(args: argparse.Namespace) -> float:
    """Measures and prints. Returns the gain of the free listeners."""
    print(markdown([("machine", ""), *facts()]), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder, begun_s = Path(name), time.monotonic()
        checkpoint = args.checkpoint or folder / "custom_voice"
        if not checkpoint.exists():
            await build_checkpoint(checkpoint, args.size, args.device)
        devices = ["cpu", "cpu"] if args.device == "cpu" else ["cuda:0", "cuda:1"]
        async with gpu_replicas(folder, devices, args.places, checkpoint) as both:
            print(f"\nstarted in {time.monotonic() - begun_s:.1f} s\n\n{markdown([HEAD])}", flush=True)
            gain = 0.0
            for paced, each in ((False, args.free), (True, args.paced)):
                alone = 0.0
                for engines in (1, 2):
                    found = await listen(both[:engines], engines * each, paced, args)
                    speed, cells = row(engines, engines * each, alone, *found)
                    alone = alone or speed
                    gain = gain if paced or not alone else speed / alone
                    print(f"| {' | '.join(cells)} |", flush=True)
            print(f"\ngain of the free listeners {gain:.2f}; the goal is {GOAL}\n", flush=True)
            found, killed_s, _, _ = await listen(both, 2 * args.killed, True, args, both[0])
            print(told_of_kill(found, killed_s), flush=True)
    return gain


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--free", type=int, default=1000, help="listeners for each engine")
    parser.add_argument("--paced", type=int, default=1000, help="listeners for each engine")
    parser.add_argument("--killed", type=int, default=250, help="listeners for each engine while one is killed")
    parser.add_argument("--processes", type=int, default=10, help="that listen")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row, once all speak")
    parser.add_argument("--size", default="0.6B", choices=["tiny", "0.6B", "1.7B"])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--places", type=int, default=1024, help="MAX_BATCH of each engine")
    parser.add_argument("--checkpoint", type=Path, help="a folder that is kept for the next run")
    return 0 if uvloop.run(run(parser.parse_args())) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
