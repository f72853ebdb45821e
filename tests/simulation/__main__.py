"""Simulates calls from seeds, and prints what was wrong with them: python -m tests.simulation --seeds 1000 [--jobs 2]

A seed that fails is shrunk, and printed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import reduce

from tests.simulation.plan import make_plan
from tests.simulation.run import simulate
from tests.simulation.tally import Tally
from tests.simulation.virtual_time import real_time, virtual_time

SEEDS_A_TASK = 25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="this one alone, with all that it tells")
    parser.add_argument("--without", nargs="*", default=[], help="parts of the plan of --seed that are left out")
    options = parser.parse_args()
    if options.seed is not None:
        return _repeat(options.seed, options.without)
    began_s = real_time()
    tally = _all_of(options.start, options.start + options.seeds, options.jobs)
    print(tally.table(real_time() - began_s, options.jobs))
    for failure in tally.failures:
        print(f"\n{failure}")
    return 1 if tally.failures else 0


def _repeat(seed: int, without: list[str]) -> int:
    plan = make_plan(seed).without(without) if without else make_plan(seed)
    with virtual_time():
        outcome = simulate(plan)
    for part in (*plan.calls, *plan.faults):
        print(part)
    print(*(outcome.problems or ["nothing is wrong"]), sep="\n")
    print(*(f"{count:,} {what}" for what, count in outcome.counts.items()), f"digest {outcome.digest[:16]}", sep=", ")
    return 1 if outcome.problems else 0


def _all_of(start: int, end: int, jobs: int) -> Tally:
    parts = [(first, min(first + SEEDS_A_TASK, end)) for first in range(start, end, SEEDS_A_TASK)]
    if jobs == 1:
        return reduce(Tally.plus, map(_part, parts), Tally())
    with ProcessPoolExecutor(jobs) as pool:
        return reduce(Tally.plus, pool.map(_part, parts), Tally())


def _part(part: tuple[int, int]) -> Tally:
    with virtual_time():
        return Tally.of(range(*part))


if __name__ == "__main__":
    sys.exit(main())
