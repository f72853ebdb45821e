"""What the doctor finds: one fact, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad a finding is."""

    OK = "ok"
    ADVICE = "advice"
    """Calls work, and something about them could be better."""
    WRONG = "WRONG"
    """Calls fail, or will when something else does."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact. What is not `OK` has a remedy."""

    level: Level
    fact: str
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.level.value:<7}{self.fact}"]
        lines += [f"       → {line}" for line in self.remedy.splitlines()]
        return "\n".join(lines)


def ok(fact: str) -> Finding:
    """Returns a finding that needs nothing."""
    return Finding(Level.OK, fact)


def advice(fact: str, remedy: str) -> Finding:
    """Returns a finding of something that could be better."""
    return Finding(Level.ADVICE, fact, remedy)


def wrong(fact: str, remedy: str) -> Finding:
    """Returns a finding of something that fails."""
    return Finding(Level.WRONG, fact, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """Returns the worst level among the findings; `OK` if there are none."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
