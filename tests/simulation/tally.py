"""Adds up many runs: how many calls and faults, how long they took, and which seeds failed."""

from __future__ import annotations

import hashlib
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
"""How many failures are shrunk in one part: where all seeds fail, they do for the same reason."""


@dataclass(slots=True)
class Tally:
    """Many runs together."""

    counts: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    """How many of each fault and of each end of a call the plans had."""
    failures: list[str] = field(default_factory=list)
    """What was wrong with each seed that failed, and the commands that repeat it."""
    digest: str = ""
    """Of all runs: the same seeds have the same, in any process."""

    @classmethod
    def of(cls, seeds: Iterable[int]) -> Tally:
        """Runs these seeds. It has to be within `virtual_time()`."""
        tally = cls()
        for seed in seeds:
            outcome = simulate(make_plan(seed))
            tally._count(outcome)
            if seed % TWICE_EVERY == 0:
                tally.counts["seeds run twice"] += 1
                if simulate(make_plan(seed)).digest != outcome.digest:
                    tally.failures.append(f"seed {seed}: two runs have different bytes\n  {command(outcome.plan)}")
            if outcome.problems:
                tally.failures.append(_told(outcome, shrinks=len(tally.failures) < SHRUNK))
        return tally

    def _count(self, outcome: Outcome) -> None:
        self.counts.update(outcome.counts, seeds=1)
        self.parts.update(f"fault: {fault.kind}" for fault in outcome.plan.faults)
        self.parts.update(f"the caller {call.ending}" for call in outcome.plan.calls)
        self.digest = hashlib.sha256((self.digest + outcome.digest).encode()).hexdigest()

    def plus(self, other: Tally) -> Tally:
        """Returns both together."""
        return Tally(
            self.counts + other.counts,
            self.parts + other.parts,
            self.failures + other.failures,
            hashlib.sha256((self.digest + other.digest).encode()).hexdigest(),
        )

    def table(self, took_s: float, jobs: int) -> str:
        """Returns the table of what was run and how long it took."""
        a_thousand_s = took_s / max(self.counts["calls"], 1) * 1_000
        rows = [
            *((what, f"{count:,}") for what, count in self.counts.items()),
            *((what, f"{count:,}") for what, count in sorted(self.parts.items())),
            ("failures", f"{len(self.failures):,}"),
            ("time", f"{took_s:.1f} s, processes: {jobs}"),
            ("a thousand calls", f"{a_thousand_s:.1f} s"),
            ("a million calls", f"{a_thousand_s / 3.6:.1f} h"),
            ("digest", self.digest[:16]),
        ]
        return "\n".join(f"{name:<28} {value}" for name, value in rows)


def _told(outcome: Outcome, *, shrinks: bool) -> str:
    seed = outcome.plan.seed
    lines = [f"seed {seed}:", *(f"  {problem}" for problem in outcome.problems[:8]), f"  {command(outcome.plan)}"]
    if shrinks:
        smallest = shrink(outcome)
        lines += ["  shrunk:", *(f"  {problem}" for problem in smallest.problems[:4]), f"  {command(smallest.plan)}"]
    return "\n".join(lines)
