"""What the agent did at one sound of the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.interaction.heard_frames import HeardFrames

YIELD_S: Final = 2.0
"""An agent that falls silent, or drops its answer, so soon after a sound of the caller's did it because of it."""
PAUSE_S: Final = 1.0
"""A pause that begins so soon after a sound of the caller's is because of it. Both are as tau-voice has them."""
TICK_S: Final = 0.2
"""tau-voice sees speech in such steps: a shorter pause does not show."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """The agent was speaking when the caller's sound began."""

    silent_s: float | None
    """How long it spoke on, where it fell silent within `YIELD_S`."""
    longest_pause_s: float
    """Its longest silence until `YIELD_S` after the sound."""
    talks_through: bool
    """Whether it made no pause that shows in the second after the sound began."""


def react(agent: HeardFrames, start_s: float, end_s: float, later_s: float) -> Reaction | None:
    """Returns what the agent did at a sound; None if it was not speaking then.

    What it does from `later_s` on, when the caller's next sound begins, is not because of this one.
    """
    if not agent.heard_at(start_s):
        return None
    silent_s = agent.silent_from_s(start_s) - start_s
    return Reaction(
        silent_s if silent_s <= YIELD_S else None,
        agent.longest_pause_s(start_s, min(end_s + YIELD_S, later_s)),
        agent.longest_pause_s(start_s, start_s + PAUSE_S) < TICK_S - 1e-9,
    )
