"""Kills, stops and drains each kind of part of a cluster while calls go on: python -m benchmarks.cluster

Three bridges, three replicas, Redis and two HAProxies run on this machine, and callers have pages read out to them by a
scripted agent. Each word is a level of its own in the sound, so that it is known which words every caller heard, how
often, and with what silences. Prints a table; `--output` writes it into a page, between two markers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import uvloop

from benchmarks.machine import facts
from benchmarks.table import markdown
from tests.cluster.faults import FAULTS, Fault
from tests.cluster.replicas import SPEED
from tests.cluster.rig import Cluster
from tests.cluster.trial import Plan, Seen, try_fault

BEGIN: Final = "<!-- cluster -->\n"
END: Final = "<!-- end of cluster -->"
GOAL_SILENCE_MS: Final = 300.0
GOAL_RESUMED_S: Final = 2.0
PAGES_AFTER: Final = 2
COME_WITHIN_S: Final = 8.0
HEAD: Final = (
    "what is done",
    "calls",
    "cut off",
    "lost",
    "words lost",
    "words twice",
    "sentences moved",
    "silence in a page, ms",
    "a page begins after, ms",
    "spoken to again after, s",
    "new calls refused",
)


def spread(rounds: Sequence[Seen], values: Callable[[Seen], Sequence[float]], factor: float, digits: int) -> str:
    """Returns p50 and p99 of all rounds, and of the latter the least and the most that a round had."""
    each = [np.array(values(seen)) * factor for seen in rounds if values(seen)]
    if not each:
        return "–"
    p50, p99 = np.percentile(np.concatenate(each), (50, 99))
    p99s = [np.percentile(one, 99) for one in each]
    return f"{p50:.{digits}f}, {p99:.{digits}f} ({min(p99s):.{digits}f}–{max(p99s):.{digits}f})"


def row(fault: Fault, rounds: Sequence[Seen]) -> tuple[str, ...]:
    """Returns one line of the table."""

    def added(value: Callable[[Seen], int]) -> int:
        return sum(map(value, rounds))

    refused, newcomers = added(lambda seen: seen.refused), added(lambda seen: seen.newcomers)
    until_s = max(seen.refused_until_s for seen in rounds)
    again = added(lambda seen: seen.words_again)
    return (
        fault.name,
        str(added(lambda seen: seen.calls)),
        str(added(lambda seen: seen.cut)),
        str(added(lambda seen: seen.lost)),
        f"{added(lambda seen: seen.words_lost)} of {added(lambda seen: seen.words):,}",
        f"{added(lambda seen: seen.words_twice)}" + (f"; {again} after a cut" if again else ""),
        str(added(lambda seen: seen.moved)),
        spread(rounds, lambda seen: seen.silences_s, 1000, 0),
        spread(rounds, lambda seen: seen.waits_s, 1000, 0),
        spread(rounds, lambda seen: seen.resumed_s, 1, 2),
        f"{refused} of {newcomers}, for {until_s:.1f} s" if refused else "none",
    )


def missed(found: Mapping[Fault, Sequence[Seen]]) -> list[str]:
    """Returns which goals were missed, in words."""
    told = []
    for fault, rounds in found.items():
        lost, words = sum(seen.lost for seen in rounds), sum(seen.words_lost for seen in rounds)
        twice = sum(seen.words_twice for seen in rounds)
        if lost or words or twice:
            told.append(f"{fault.name}: {lost} calls and {words} words lost, {twice} words said twice")
        if (cut := sum(seen.cut for seen in rounds)) and not fault.cuts_off:
            told.append(f"{fault.name}: {cut} calls cut off")
        if fault.name == "replica killed":
            silences_ms = [each * 1000 for seen in rounds for each in seen.silences_s]
            p99 = np.percentile(silences_ms, 99) if silences_ms else np.inf
            if p99 > GOAL_SILENCE_MS:
                told.append(f"{fault.name}: silence p99 {p99:.0f} ms; the goal is {GOAL_SILENCE_MS:.0f}")
        if fault.name == "bridge killed":
            latest_s = max((each for seen in rounds for each in seen.resumed_s), default=np.inf)
            if latest_s > GOAL_RESUMED_S:
                told.append(f"{fault.name}: spoken to again after {latest_s:.1f} s; the goal is {GOAL_RESUMED_S:.0f}")
    return told


async def run(args: argparse.Namespace) -> bool:
    """Tries every fault, and prints. Returns whether every goal was reached."""
    machine, chance = facts(), Random(args.seed)
    chosen = [fault for fault in FAULTS if not args.only or fault.name in args.only]
    plan = Plan(args.calls, pages_after=PAGES_AFTER, come_within_s=COME_WITHIN_S)
    found: dict[Fault, list[Seen]] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), with_ray=args.ray)
        try:
            cluster.start()
            for number in range(args.rounds):
                for fault in chosen:
                    name = f"round {number + 1} of {args.rounds}: {fault.name}"
                    await cluster.mend()
                    rounds = found.setdefault(fault, [])
                    try:
                        rounds.append(await try_fault(cluster, fault, plan, chance))
                    except* TimeoutError:
                        failed.append(f"{name}: the calls did not come to their end")
                    told = " | ".join(row(fault, rounds)[1:]) if rounds else "failed"
                    print(f"{name}, load {os.getloadavg()[0]:.1f}: {told}", file=sys.stderr, flush=True)
        finally:
            cluster.close()
    machine.append(("load after", f"{os.getloadavg()[0]:.2f} (1 minute)"))
    told = "\n".join(f"- {name}: {value}" for name, value in machine)
    table = markdown([HEAD, *(row(fault, rounds) for fault, rounds in found.items() if rounds)])
    print(f"{told}\n\n{table}\n")
    if args.output is not None:
        write(args.output, table, dict(machine), args)
    told_missed = failed + missed(found)
    print("\n".join(f"missed: {one}" for one in told_missed) or "every goal was reached")
    return not told_missed


def write(page: Path, table: str, machine: Mapping[str, str], args: argparse.Namespace) -> None:
    """Writes the table, and what it was measured on, between a page's markers. Raises ValueError without them."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: no {BEGIN.strip()} and {END}")
    head = (
        f"{machine['date']}, commit {machine['commit']}: {machine['processor']}, all parts and the callers on it; load "
        f"{machine['load before'].split()[0]} before and {machine['load after'].split()[0]} after. {args.calls} calls "
        f"at once, {args.rounds} rounds; replicas make a sentence {SPEED:.0f} times as fast as it is spoken. Silences "
        "and times are p50 and p99 of all calls, and the least and the most p99 of a round:"
    )
    page.write_text(f"{before}{begin}{head}\n\n{table}\n{end}{after}")


def main() -> int:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.cluster", description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=60, help="at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=(), help="faults, as 'bridge killed'; all where left out")
    parser.add_argument("--ray", action="store_true", help="a real Ray starts the replicas, and others in their place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="the page that has the table, docs/scaling.md")
    return 0 if uvloop.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
