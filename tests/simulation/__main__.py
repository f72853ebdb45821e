"""Simulates calls from seeds, and prints what was wrong with them: python -m tests.simulation --seeds 1000 [--jobs 2]

A seed that fails is shrunk, and printed at once with the command that repeats it.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from typing import Final

from tests.simulation.plan import Plan, make_plan
from tests.simulation.run import simulate
from tests.simulation.shrink import command
from tests.simulation.tally import OneSeed, Tally
from tests.simulation.virtual_time import virtual_time
from tests.support.numbered_work import Failed, in_processes

PROGRESS_S: Final = 10.0
"""How often it tells how far it is."""
MOST_FAILURES: Final = 100
"""So many failed seeds are enough: the rest is not run."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default: %(default)s)")
    parser.add_argument("--start", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no seed is handed out after so long")
    parser.add_argument("--more-faults", type=int, default=0, help="so many more in each run (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="this one alone, with all that it tells")
    parser.add_argument("--without", nargs="*", default=[], help="parts of the plan of --seed that are left out")
    options = parser.parse_args()
    if options.seed is not None:
        return _repeat(make_plan(options.seed, options.more_faults), options.without)
    seeds = range(options.start, options.start + options.seeds)
    with virtual_time():
        simulate(make_plan(seeds.start))  # what is made once is made before there are processes to make it
        return run_in_processes(seeds, options.jobs, options.seconds, options.more_faults)


def _repeat(plan: Plan, without: list[str]) -> int:
    plan = plan.without(without) if without else plan
    with virtual_time():
        outcome = simulate(plan)
    for part in (*plan.calls, *plan.faults):
        print(part)
    print(*(outcome.problems or ["nothing is wrong"]), sep="\n")
    print(*(f"{count:,} {what}" for what, count in outcome.counts.items()), f"digest {outcome.digest[:16]}", sep=", ")
    return 1 if outcome.problems else 0


def run_in_processes(seeds: range, jobs: int, seconds: float = math.inf, more_faults: int = 0) -> int:
    """Runs seeds, tells what fails and how far it is, and returns a status. It has to be within `virtual_time()`."""
    began_s = told_s = time.monotonic()
    tally = Tally()
    for seed, done in in_processes(OneSeed(more_faults), seeds, jobs, until_s=began_s + seconds):
        if isinstance(done, Failed):
            done = Tally(failures=[f"seed {seed}: {done.reason}\n  {command(make_plan(seed, more_faults))}"])
        tally.add(done)
        for failure in done.failures:
            print(f"{failure}\n", flush=True)
        if len(tally.failures) >= MOST_FAILURES:
            print(f"{MOST_FAILURES} failures: the rest is not run", flush=True)
            break
        if time.monotonic() - told_s >= PROGRESS_S:
            told_s = time.monotonic()
            print(_progress(tally, told_s - began_s), flush=True)
    print(tally.table(time.monotonic() - began_s, jobs, _processor_s()), flush=True)
    return 1 if tally.failures else 0


def _processor_s() -> float:
    """Returns the processor time of all processes that were begun here and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _progress(tally: Tally, took_s: float) -> str:
    seeds, calls, failed = tally.counts["seeds"], tally.counts["calls"], len(tally.failures)
    return f"{took_s:,.0f} s: {seeds:,} seeds, {calls:,} calls, {calls / took_s:,.0f} a second, {failed} failed"


if __name__ == "__main__":
    sys.exit(main())
