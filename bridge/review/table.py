"""Shows a call as text: what was said and done, and where the time of each turn went. No I/O."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from bridge.dial.table import aligned
from bridge.journal import events
from bridge.journal.events import Line, TurnDone
from bridge.review.recorded_call import RecordedCall

WIDTH: Final = 100
"""How long a line of what was said may be."""
MAX_RESULT_CHARS: Final = 80
STAGES: Final = {
    "end_of_turn": "end of turn",
    "recogniser": "recogniser",
    "model": "model",
    "first_sentence": "first sentence",
    "first_sound": "first sound",
    "first_frame": "first frame",
}
"""What a caller waits for, and what it is called."""


def table(call: RecordedCall) -> str:
    """Returns the call, what happened in it in the order of its beginning, and a line for each turn of the agent's."""
    rows = sorted((row for event in call.events for row in _rows(event)), key=lambda row: row[0])
    lines = [_shown(_head(call)), ""]
    for at_ms, who, what in rows:
        first = f"{clock(at_ms):>8}  {who:<6}  "
        lines += textwrap.wrap(_shown(what), WIDTH, initial_indent=first, subsequent_indent=" " * len(first)) or [first]
    turns = call.of(TurnDone)
    if turns:
        lines += ["", turn_table(turns)]
    return "\n".join(line.rstrip() for line in lines)


def turn_table(turns: list[TurnDone]) -> str:
    """Returns how long each stage of each turn took, in ms."""
    rows = [("turn", "begins at", *STAGES.values(), "the caller waits")]
    for turn in turns:
        took = {str(stage.stage): str(stage.end_ms - stage.start_ms) for stage in turn.stages}
        begins_ms = next((stage.start_ms for stage in turn.stages if stage.stage == "playing"), None)
        waits = "–" if turn.response_ms is None else str(turn.response_ms)
        cells = [took.get(stage, "–") for stage in STAGES]
        rows.append((str(turn.turn), "–" if begins_ms is None else clock(begins_ms), *cells, waits))
    return aligned(rows)


def clock(at_ms: float) -> str:
    """Returns a time of the call, such as 1:05.3."""
    minutes, seconds = divmod(round(at_ms / 100) / 10, 60)
    return f"{minutes:.0f}:{seconds:04.1f}"


def _shown(text: str) -> str:
    """Returns a text without what a terminal obeys: callers, models and tools have written it."""
    return "".join(letter if letter.isprintable() or letter in "\t\r\n" else "?" for letter in text)


def _head(call: RecordedCall) -> str:
    started = call.started
    if started is None:
        return f"{call.name}, {clock(call.duration_s * 1000)}"
    when = "" if started.time is None else f" on {started.time:%Y-%m-%d at %H:%M:%S} UTC"
    return f"call {started.call_id}{when}, {clock(call.duration_s * 1000)}"


def _rows(event: Line) -> Iterator[tuple[int, str, str]]:
    """Yields when something happened, who did it, and what it was."""
    match event:
        case events.CallStarted():
            about = [f"from {event.from_}"] if event.from_ else []
            about += [f"to {event.to}"] if event.to else []
            yield event.at_ms, "call", ", ".join(["answered", *about, f"agent {event.agent_name}"])
        case events.UserSaid():
            yield event.start_ms, "caller", event.text
        case events.AgentSaid():
            unheard = f" [not heard: {event.unheard}]" if event.unheard else " […]" if event.interrupted else ""
            yield event.start_ms, "agent", event.text + unheard
        case events.ResponsePaused():
            yield event.at_ms, "agent", "(pauses)"
        case events.ResponseResumed():
            yield event.at_ms, "agent", "(goes on)"
        case events.ResponseInterrupted():
            yield event.at_ms, "agent", f"(is interrupted: {event.reason})"
        case events.ToolDone():
            result = textwrap.shorten(event.result, MAX_RESULT_CHARS)
            yield event.at_ms - event.took_ms, "tool", f"{event.tool}({event.arguments}) → {result}, {event.took_ms} ms"
        case events.Dtmf():
            yield event.at_ms, "caller", f"(presses {event.digit})"
        case events.HoldBegan():
            yield event.audio_start_ms or event.at_ms, "caller", "(puts the line on hold)"
        case events.HoldEnded():
            yield event.at_ms, "caller", "(is back)"
        case events.HandedOver():
            yield event.at_ms, "call", f"handed over from {event.from_agent} to {event.agent_name}: {event.reason}"
        case events.LanguageSwitched():
            yield event.at_ms, "call", f"goes on in {event.language}"
        case events.AnsweredBy():
            yield event.at_ms, "call", f"answered by {event.who}, known by {event.by}"
        case events.CallerChanged():
            yield event.at_ms, "call", f"the caller is {event.name or event.from_} now"
        case events.TransferBriefed():
            yield event.at_ms, "call", f"a colleague at {event.destination} hears of it"
        case events.TransferDone():
            yield event.at_ms, "call", f"transfer to {event.destination}: {event.outcome}"
        case events.Fault():
            yield event.at_ms, "fault", f"{event.service}: {event.problem}"
        case events.CallEnded():
            gone = "" if event.next in ("", "hangup") else f", goes on at {event.next}"
            yield event.at_ms, "call", f"ended: {event.reason}{gone}"
