"""What happened on a call: when each side was heard, what the server told of it, and which tools were called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.interaction.heard_frames import HeardFrames, Span, gaps


@dataclass(slots=True)
class CallerAct:
    """Something that the caller did. Times are seconds from the first frame."""

    step: int
    """Which step of the scenario it belongs to."""
    text: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class ToolCall:
    """A tool that the model called."""

    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Timeline:
    """One call that is over. Times are seconds from the caller's first frame."""

    arrivals_s: NDArray[np.float64]
    """When each of the agent's frames came in, shape (frames,)."""
    voiced: NDArray[np.bool_]
    """Which of them could be heard, shape (frames,)."""
    acts: list[CallerAct] = field(default_factory=list)
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """The server's events, each with when it came; none where the server's HTTP interface is not known."""
    state: dict[str, Any] | None = None
    """The call as the calls API shows it after its end; None where it is not known."""
    tools: list[ToolCall] | None = field(default_factory=list)
    """None where the tools are not ours to watch."""
    recognised: str | None = None
    """The agent's words, recognised from its sound; None where nobody has listened."""
    by_server: bool = False
    """Whether the server ended the call."""
    problem: str = ""
    """Why the call did not go through to its end; empty if it did."""

    @property
    def agent(self) -> HeardFrames:
        """When the agent is heard."""
        return HeardFrames(self.arrivals_s[self.voiced])

    def longest_silence_ms(self) -> float:
        """Returns how long neither side was heard, between the agent's first sound and its last, in ms."""
        heard = self.agent.spans(0.0)
        if not heard:
            return 0.0
        said = [Span(act.start_s, act.end_s) for act in self.acts]
        first_s, last_s = heard[0].start_s, heard[-1].start_s
        silences_s = (min(gap.end_s, last_s) - max(gap.start_s, first_s) for gap in gaps([*heard, *said]))
        return max([0.0, *silences_s]) * 1000

    def dropped(self, from_s: float, to_s: float) -> bool | None:
        """Tells whether the agent dropped its answer between two moments; None where the server's events are not."""
        if not self.events:
            return None
        return any(event["type"] == "response.interrupted" and from_s <= at_s <= to_s for at_s, event in self.events)

    def said(self, who: str) -> list[str] | None:
        """Returns the turns of `agent` or `user` as the server's transcript has them; None where it is not known."""
        if self.state is None:
            return None
        entries = sorted(self.state["conversation"]["transcript"], key=lambda entry: entry["start_ms"])
        return [entry["text"] for entry in entries if entry["who"] == who]
