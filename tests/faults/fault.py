"""One fault: which neighbour has it, how it is made, and what has to come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from tests.faults.ear import TEXTS
from tests.simulation.plan import Answer

if TYPE_CHECKING:
    from tests.faults.simulated import FaultRun

ANSWERS: Final = (Answer(TEXTS["the answer"]), Answer(TEXTS["the next answer"]))
FULL_ENGINE_S: Final = 20.5
"""The longest where the engine has no place for a call: a burst of calls is waited for (BUSY_WAIT_S)."""
SILENCE_BOUND_S: Final = 10.5
"""The longest that a caller who is owed something may hear nothing, with the settings as they are."""


class Outcome(StrEnum):
    """What becomes of a call in which something failed."""

    GOES_ON = "the agent goes on"
    HUMAN = "a human takes over"
    """The call is given back to the dialplan, which sends it to the fallback."""
    LINE_LOST = "the dialplan takes over"
    """The connection is gone; Asterisk notices, as docs/freepbx.md measures."""


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A fault of a call in memory, under the virtual clock."""

    neighbour: str
    name: str
    outcome: Outcome
    begin: Callable[[FaultRun], object] = lambda run: None
    """Makes it happen, at `at_s`."""
    at_s: float = 2.5
    """From the start of the call. The caller asks from 2.0 to 2.8 s and is answered until about 5.8 s; from 15.0 to
    15.8 s the caller says something else."""
    answers: tuple[Answer, ...] = ANSWERS
    settings: Mapping[str, Any] = field(default_factory=dict)
    blocks: str = ""
    """The simulation's name of a fault in which our side cannot send, or does not run."""
    engine: str = ""
    """`spare`: another engine stands in for the main one, as ENGINE=qwen3 has it; `replicas`: two of them."""
    prepare: Callable[[FaultRun], object] = lambda run: None
    """Makes it happen before the call."""
    also_lost: Callable[[FaultRun], str] = lambda run: ""
    """What is lost beside words."""
    silence_bound_s: float = SILENCE_BOUND_S
    speed: float = 8.0
    allowed: tuple[str, ...] = ()
    """What the invariants may find: a fault that nobody expected is logged."""
    apologises: bool = True
    """Whether the apology is heard before a human takes over."""
    caller_says_more: bool = True
    """Whether the caller speaks a second time, which lets the agent begin once more."""
