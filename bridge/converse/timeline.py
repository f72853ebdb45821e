"""What happened on a call: when each side was heard, what the server told of it, and which tools were called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.line.audiosocket import FRAME_MS

TURN_SILENCE_S: Final = 0.5
"""An agent that is silent for this long has stopped; a pause inside a sentence is shorter."""
_FRAME_S: Final = FRAME_MS / 1000


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

    def silent_from_s(self, onset_s: float, lasting_s: float = TURN_SILENCE_S) -> float | None:
        """Returns when the agent falls silent for `lasting_s` from `onset_s` on; None if the call ends before that."""
        heard_s = self._heard_s()
        ends_s = np.concatenate(([onset_s], heard_s[heard_s > onset_s - _FRAME_S] + _FRAME_S))
        nexts_s = np.append(heard_s[heard_s > onset_s - _FRAME_S], np.inf)
        quiet = np.flatnonzero(nexts_s - ends_s >= lasting_s)
        return float(max(ends_s[quiet[0]], onset_s)) if quiet.size else None

    def longest_pause_ms(self, from_s: float, to_s: float) -> float:
        """Returns the longest silence of the agent's between two moments, in ms."""
        heard_s = self._heard_s()
        inside = heard_s[(heard_s > from_s - _FRAME_S) & (heard_s < to_s)]
        starts_s = np.concatenate(([from_s], np.minimum(inside + _FRAME_S, to_s)))
        ends_s = np.append(np.maximum(inside, from_s), to_s)
        return float((ends_s - starts_s).max(initial=0.0) * 1000)

    def speaks(self, at_s: float, within_s: float = 0.3) -> bool:
        """Tells whether the agent is heard at a moment, or has been `within_s` before it."""
        heard_s = self._heard_s()
        return bool(((heard_s > at_s - within_s - _FRAME_S) & (heard_s <= at_s)).any())

    def first_heard_s(self, after_s: float) -> float | None:
        """Returns when the agent is first heard after a moment; None if it is not heard again."""
        heard_s = self._heard_s()
        later = heard_s[heard_s > after_s]
        return float(later[0]) if later.size else None

    def longest_silence_ms(self) -> float:
        """Returns how long neither side was heard, between the agent's first sound and its last, in ms."""
        heard_s = self._heard_s()
        if not heard_s.size:
            return 0.0
        spans = [(float(at), float(at) + _FRAME_S) for at in heard_s] + [(act.start_s, act.end_s) for act in self.acts]
        longest_s, until_s = 0.0, float(heard_s[0])
        for start_s, end_s in sorted(spans):
            if start_s > heard_s[-1]:
                break
            longest_s = max(longest_s, start_s - until_s)
            until_s = max(until_s, end_s)
        return longest_s * 1000

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

    def _heard_s(self) -> NDArray[np.float64]:
        heard: NDArray[np.float64] = self.arrivals_s[self.voiced]
        return heard
