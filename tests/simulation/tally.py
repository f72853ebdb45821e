"""Adds up many runs: how many calls and faults, how long they took, and which seeds failed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.plan import make_plan
from tests.simulation.run import Outcome, simulate
from tests.simulation.shrink import command, shrink

TWICE_EVERY: Final = 10
"""Every so many seeds one is run twice: both runs must have the same bytes."""
SHRUNK: Final = 3
"""How many failures one process shrinks: where all seeds fail, they do for the same reason."""


@dataclass(slots=True)
class Tally:
    """Many runs together."""

    counts: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    """How many of each fault and of each end of a call the plans had."""
    failures: list[str] = field(default_factory=list)
    """What was wrong with each seed that failed, and the commands that repeat it."""
    digest: int = 0
    """The sum of all runs' digests: the same seeds have the same, in any order and in any process."""

    @classmethod
    def of(cls, seeds: Iterable[int]) -> Tally:
        """Runs these seeds. It has to be within `virtual_time()`."""
        tally, simulation = cls(), OneSeed()
        for seed in seeds:
            tally.add(simulation(seed))
        return tally

    @classmethod
    def of_run(cls, outcome: Outcome) -> Tally:
        """Counts one run, and nothing of how it failed."""
        plan = outcome.plan
        parts = [f"fault: {fault.kind}" for fault in plan.faults]
        parts += [f"the caller {call.ending}" for call in plan.calls]
        digest = hashlib.sha256(f"{plan.seed} {outcome.digest}".encode()).digest()
        return cls(outcome.counts + Counter(seeds=1), Counter(parts), digest=int.from_bytes(digest, "big"))

    def add(self, other: Tally) -> None:
        """Adds other runs."""
        self.counts.update(other.counts)
        self.parts.update(other.parts)
        self.failures += other.failures
        self.digest = (self.digest + other.digest) % 2**256

    def table(self, took_s: float, jobs: int, processor_s: float) -> str:
        """Returns the table of what was run, how long that took, and how much of all processors."""
        calls, cores = max(self.counts["calls"], 1), len(os.sched_getaffinity(0))
        rows = [
            *((what, f"{count:,}") for what, count in sorted(self.counts.items())),
            ("faults", f"{sum(count for what, count in self.parts.items() if what.startswith('fault: ')):,}"),
            *((what, f"{count:,}") for what, count in sorted(self.parts.items())),
            ("simulated time", f"{self.counts['virtual seconds'] / 3_600:,.1f} h"),
            ("failures", f"{len(self.failures):,}"),
            ("time", f"{took_s:,.1f} s, processes: {jobs}, cores: {cores}"),
            ("calls a second", f"{calls / took_s:,.1f}"),
            ("a thousand calls", f"{processor_s / calls * 1_000:.1f} s of a core"),
            ("digest", f"{self.digest:064x}"[:16]),
        ]
        return "\n".join(f"{name:<28} {value}" for name, value in rows)


class OneSeed:
    """Carries out one seed after the other, and counts each. It has to be within `virtual_time()`."""

    def __init__(self, more_faults: int = 0) -> None:
        self._more_faults = more_faults
        self._shrunk = 0

    def __call__(self, seed: int) -> Tally:
        """Runs a seed, every tenth of them twice, and returns what came of it."""
        plan = make_plan(seed, self._more_faults)
        outcome = simulate(plan)
        tally = Tally.of_run(outcome)
        if seed % TWICE_EVERY == 0:
            tally.counts["seeds run twice"] += 1
            if simulate(plan).digest != outcome.digest:
                tally.failures.append(f"seed {seed}: two runs have different bytes\n  {command(plan)}")
        if outcome.problems:
            tally.failures.append(_told(outcome, shrinks=self._shrunk < SHRUNK))
            self._shrunk += 1
        return tally


def _told(outcome: Outcome, *, shrinks: bool) -> str:
    seed = outcome.plan.seed
    lines = [f"seed {seed}:", *(f"  {problem}" for problem in outcome.problems[:8]), f"  {command(outcome.plan)}"]
    if shrinks:
        smallest = shrink(outcome)
        lines += ["  shrunk:", *(f"  {problem}" for problem in smallest.problems[:4]), f"  {command(smallest.plan)}"]
    return "\n".join(lines)
