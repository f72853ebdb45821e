"""tau-voice's interaction measures (tau2-bench, docs/interaction-metrics.md), from when each side was heard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

from bridge.interaction.heard_frames import HeardFrames, Span, gaps
from bridge.interaction.reaction import TICK_S, react

IGNORED_S: Final = 2.0
"""An agent that begins to speak so soon after a cough, or after what is said to somebody else, answers it."""
DEAD_AIR_S: Final = 3.0
"""A silence of both sides that is longer is long."""


class ActKind(StrEnum):
    """What a sound of the caller's is."""

    SPEECH = "speech"
    """It is for the agent: a turn, or an interruption where the agent is speaking."""
    BACKCHANNEL = "backchannel"
    VOCAL_TIC = "vocal_tic"
    SIDE_TALK = "side_talk"


@dataclass(frozen=True, slots=True)
class Act(Span):
    """A sound of the caller's."""

    kind: ActKind = ActKind.SPEECH


@dataclass(slots=True)
class Share:
    """How often something was so."""

    yes: int = 0
    count: int = 0

    def add(self, so: bool) -> None:
        self.yes += so
        self.count += 1

    @property
    def rate(self) -> float:
        """The share, from 0 to 1; not a number where nothing was counted."""
        return self.yes / self.count if self.count else math.nan


@dataclass(slots=True)
class Measures:
    """What came of one call, or of several together. Times are in seconds."""

    response_s: list[float] = field(default_factory=list)
    """From the end of the caller's turn to the agent's answer."""
    answered: Share = field(default_factory=Share)
    """Turns that were answered before the caller had to speak again."""
    yield_s: list[float] = field(default_factory=list)
    """From an interruption to the agent's silence."""
    yielded: Share = field(default_factory=Share)
    agent_interruptions: Share = field(default_factory=Share)
    """How often the agent began while the caller spoke, for each of the caller's turns; it may exceed 1."""
    selective: dict[ActKind, Share] = field(
        default_factory=lambda: {kind: Share() for kind in ActKind if kind is not ActKind.SPEECH}
    )
    """Sounds that are no turn, and that the agent rightly did nothing about."""
    talk_over_s: float = 0.0
    """How long both were heard at once."""
    dead_air_s: list[float] = field(default_factory=list)
    """The silences of both, each."""
    duration_s: float = 0.0

    @property
    def long_silences(self) -> int:
        """How many silences of both are long."""
        return sum(silence_s > DEAD_AIR_S for silence_s in self.dead_air_s)

    def add(self, other: Measures) -> None:
        """Adds another call's."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, list):
                mine += theirs
            elif isinstance(mine, dict):
                for kind, share in theirs.items():
                    _add(mine[kind], share)
            elif isinstance(mine, Share):
                _add(mine, theirs)
            else:
                setattr(self, one.name, mine + theirs)


def measure(acts: Sequence[Act], agent: HeardFrames, duration_s: float) -> Measures:
    """Returns the measures of one call out of the caller's sounds, in their order, and the agent's frames."""
    found = Measures(duration_s=duration_s)
    spoken = agent.spans(TICK_S)
    for number, act in enumerate(acts):
        later_s = acts[number + 1].start_s if number + 1 < len(acts) else math.inf
        spoken_over = any(span.start_s <= act.start_s < span.end_s for span in spoken)
        reaction = react(agent, act.start_s, act.end_s, later_s) if spoken_over else None
        if act.kind is not ActKind.SPEECH:
            if reaction is not None:
                found.selective[act.kind].add(reaction.talks_through)
            elif act.kind is not ActKind.BACKCHANNEL:  # one that comes in a silence is no listener's noise
                begins_s = agent.first_s(act.start_s)
                found.selective[act.kind].add(begins_s is None or begins_s - act.start_s > IGNORED_S)
            continue
        if reaction is not None:
            found.yielded.add(reaction.silent_s is not None)
            if reaction.silent_s is not None:
                found.yield_s.append(reaction.silent_s)
        found.agent_interruptions.count += 1
        found.agent_interruptions.yes += sum(act.start_s < span.start_s < act.end_s for span in spoken)
        _add_answer(found, act, spoken, later_s)
    found.talk_over_s = sum(
        max(0.0, min(act.end_s, span.end_s) - max(act.start_s, span.start_s)) for act in acts for span in spoken
    )
    found.dead_air_s = [gap.end_s - gap.start_s for gap in gaps([*acts, *spoken])]
    return found


def _add_answer(found: Measures, act: Act, spoken: list[Span], later_s: float) -> None:
    """Counts the answer to a turn. A turn at whose end the agent speaks, or the call ends, is not counted."""
    if any(span.start_s <= act.end_s < span.end_s for span in spoken):
        return
    begins_s = next((span.start_s for span in spoken if span.start_s >= act.end_s), math.inf)
    if begins_s <= later_s and begins_s < math.inf:
        found.answered.add(True)
        found.response_s.append(begins_s - act.end_s)
    elif later_s < math.inf:
        found.answered.add(False)


def _add(mine: Share, theirs: Share) -> None:
    mine.yes += theirs.yes
    mine.count += theirs.count
