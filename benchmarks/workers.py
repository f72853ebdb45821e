"""Measures how many calls WORKERS=2 and more carry, beside one process: python -m benchmarks.workers

Every call hears speech that is already made and resampled for it. So many calls for each worker are placed at once; the
table has their lateness, and how much of a core the busiest worker and the supervisor took. Callers need cores too:
where there are too few for all, an equal share of a core for each worker, at an equal lateness, tells what more cores
carry. The gain is the calls that fill the busiest core, beside those that fill one process's.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from statistics import median

import aiohttp
import uvloop

from benchmarks.machine import Usage, facts
from benchmarks.servers import CLIP_TEXT
from benchmarks.table import markdown
from bridge.converse.server_process import ServerProcess, running_server
from bridge.dial.command import CallPlan, place_calls

GOAL_GAIN = 1.8
SETTLE_S = 8.0
"""All calls are given their whole speech in the same moment, which no engine does. What that costs is over by then."""
HEAD = (
    "workers",
    "calls",
    "p50",
    "p99",
    "p99.9",
    "max",
    "missing",
    "busiest worker",
    "supervisor",
    "calls a core",
    "gain",
)


@dataclass(frozen=True, slots=True)
class Round:
    """What one load showed."""

    workers: int
    calls: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    missing: int
    busiest_share: float
    """A share of one core, as the next one is."""
    supervisor_share: float

    @property
    def carried(self) -> float:
        """The calls with which the busiest worker's core would be full."""
        return self.calls / self.busiest_share


async def worker_pids(server: ServerProcess) -> list[int]:
    """Returns the processes that carry calls."""
    async with aiohttp.ClientSession(server.http_url) as http, http.get("/health") as response:
        told = await response.json()
    return [worker["pid"] for worker in told.get("workers", [])] or [server.pid]


async def watch(pids: list[int], plan: CallPlan) -> list[float]:
    """Returns what share of a core each process takes in the middle of a round, when all calls are up."""
    await asyncio.sleep(plan.settle_s + plan.calls * 0.004)
    before = [Usage.now(pid) for pid in pids]
    await asyncio.sleep(max(0.5, plan.seconds - plan.settle_s - 1.0))
    return [Usage.now(pid).share_since(was)[0] for pid, was in zip(pids, before, strict=True)]


async def measure(workers: int, calls_each: int, seconds: float) -> Round:
    """Places so many calls for each worker at a fresh server."""
    settings = {"WORKERS": str(workers), "MAX_CALLS": "5000", "GREETING": "", "NO_INPUT_TIMEOUT_MS": "0"}
    async with running_server(module="benchmarks.workers_server", **settings) as server:
        pids = await worker_pids(server)
        plan = CallPlan(
            port=server.port,
            http_url=server.http_url,
            calls=workers * calls_each,
            seconds=seconds + SETTLE_S,
            settle_s=SETTLE_S,
            say=CLIP_TEXT,
        )
        watching = asyncio.create_task(watch([server.pid, *pids], plan))
        report = await place_calls(plan)
        supervisor, *shares = await watching
    late = report.lateness
    if late is None:
        raise RuntimeError(f"no frames came: {report.faults}")
    return Round(workers, plan.calls, late.p50, late.p99, late.p999, late.max, report.missing, max(shares), supervisor)


def row(rounds: list[Round], alone: float) -> tuple[str, ...]:
    """Returns one line of the table: medians over the repeats, and the worst maximum."""
    first = rounds[0]
    carried = median(one.carried for one in rounds)
    return (
        str(first.workers),
        str(first.calls),
        *(f"{median(getattr(one, name) for one in rounds):.2f}" for name in ("p50_ms", "p99_ms", "p999_ms")),
        f"{max(one.max_ms for one in rounds):.1f}",
        str(sum(one.missing for one in rounds)),
        f"{median(one.busiest_share for one in rounds):.0%}",
        f"{median(one.supervisor_share for one in rounds):.0%}" if first.workers > 1 else "–",
        f"{carried / first.workers:.0f}",
        f"{carried / alone:.2f}",
    )


async def run(args: argparse.Namespace) -> bool:
    """Measures and prints. Tells whether two workers reached the goal, where they were measured."""
    found: dict[int, list[Round]] = {}
    for repeat in range(args.repeats):
        for workers in args.workers:
            one = await measure(workers, args.calls, args.seconds)
            found.setdefault(workers, []).append(one)
            note = f"round {repeat + 1} of {args.repeats}, WORKERS={workers}: p99.9 {one.p999_ms:.2f} ms"
            print(note, file=sys.stderr, flush=True)
    alone = median(one.carried for one in found[args.workers[0]]) / args.workers[0]
    print(markdown([("machine", ""), *facts()]))
    print(markdown([HEAD, *(row(rounds, alone) for rounds in found.values())]))
    if 2 not in found:
        return True
    gain = median(one.carried for one in found[2]) / alone
    print(f"WORKERS=2 carries {gain:.2f} × the calls of one process; the goal is {GOAL_GAIN}.")
    return gain >= GOAL_GAIN


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.workers", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--workers", nargs="+", type=int, default=[1, 2], help="the first is what others are compared to"
    )
    parser.add_argument("--calls", type=int, default=100, help="for each worker")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    return 0 if uvloop.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
