"""The demo's scripted call once it has ended: who said what when, and its figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.dial.caller import Caller
from bridge.dial.conformance import end_s, faults
from bridge.dial.lateness import Spread, expected_frames, lateness_ms
from bridge.dial.table import aligned


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text that someone spoke. Times are seconds of `time.monotonic()`."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class AgentText(SpokenText):
    """A text that the agent spoke."""

    handed_s: float
    """When the text was handed over; for the greeting, when the number was dialled."""
    last_voiced_s: float
    """When the last voiced frame came in."""

    @property
    def first_audio_ms(self) -> float:
        """The time from handing the text over to its first voiced frame on the wire."""
        return (self.start_s - self.handed_s) * 1000


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The moment at which the caller cut the agent short."""

    answer: AgentText
    """The text that was cut."""
    requested_s: float
    last_voiced_s: float
    heard: str
    """What the server says was heard of the text."""
    whole_end_s: float
    """When the agent would have finished."""

    @property
    def silence_ms(self) -> float:
        """The time from the request to the last voiced frame on the wire; 0 if none came after it."""
        return max(0.0, (self.last_voiced_s - self.requested_s) * 1000)


@dataclass(slots=True)
class ScriptedCall:
    """A call that has ended, and who said what when."""

    caller: Caller
    agent_texts: list[AgentText] = field(default_factory=list)
    caller_texts: list[SpokenText] = field(default_factory=list)
    barge_in: BargeIn | None = None

    def lateness(self) -> Spread | None:
        """Returns the lateness of the call's frames, in ms."""
        received = self.caller.received
        return Spread.of(lateness_ms(received.arrivals_s, received.positions_s))


def figures(call: ScriptedCall) -> str:
    """Returns the call's figures as a table."""
    caller, barge_in, lateness = call.caller, call.barge_in, call.lateness()
    assert barge_in is not None
    assert lateness is not None
    assert caller.closed_s is not None
    assert caller.hung_up_s is not None
    arrivals_s = caller.received.arrivals_s
    greeting, *answers = call.agent_texts
    rows: list[tuple[str, str]] = [
        ("dialled → first frame", f"{(arrivals_s[0] - caller.dialled_s) * 1000:.1f} ms"),
        ("dialled → greeting heard", f"{greeting.first_audio_ms:.1f} ms"),
    ]
    rows += [(f"text → heard: “{_short(answer.text)}”", f"{answer.first_audio_ms:.1f} ms") for answer in answers]
    rows += [
        ("interrupt → last voiced frame", f"{barge_in.silence_ms:.1f} ms"),
        ("lateness of frames, p50", f"{lateness.p50:.2f} ms"),
        ("lateness of frames, p99", f"{lateness.p99:.2f} ms"),
        ("lateness of frames, worst", f"{lateness.max:.2f} ms"),
        ("frames received / expected", f"{len(caller.received)} / {expected_frames(arrivals_s, end_s(caller))}"),
        ("hang-up → server closed", f"{(caller.closed_s - caller.hung_up_s) * 1000:.1f} ms"),
        ("length of the call", f"{caller.hung_up_s - caller.dialled_s:.1f} s"),
    ]
    lines = [aligned(rows), "", f"said:  {barge_in.answer.text}", f"heard: {barge_in.heard.rstrip()} …"]
    lines += [f"FAULT: {fault.rule} ({fault.seen})" for fault in faults(caller)]
    return "\n".join(lines)


def _short(text: str) -> str:
    words = text.split()
    return text if len(words) <= 4 else " ".join(words[:4]) + " …"
