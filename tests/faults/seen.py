"""What came of a fault."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.fault import Outcome


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller heard of a fault, and what became of the call."""

    heard: str
    lost: str
    silence_s: float
    """The longest time in which somebody who was owed something heard nothing."""
    back: str
    outcome: Outcome
    problems: tuple[str, ...]
    """What the simulation's invariants found to be wrong."""
