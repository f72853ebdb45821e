"""The journal of a scripted call: what the server told, and what the caller did, who knows that for certain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from bridge.converse.scenario import Scenario, Step
from bridge.converse.server_group import Outcome
from bridge.interaction.measures import ActKind
from bridge.turns.words import BACKCHANNELS, Backchannels

NOISES: Final = Backchannels(chain.from_iterable(BACKCHANNELS.values()))


def journal(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Yields the lines that the server sent, and a `caller.act` for each sound of the caller's."""
    timeline, call_id = outcome.timeline, str(outcome.caller.id)
    number = 0
    for _, event in timeline.events:
        number = event.get("number", number + 1)
        yield event
    for act in timeline.acts:
        kind = kind_of(outcome.scenario, outcome.scenario.caller[act.step])
        if kind is not None:
            number += 1
            start_ms, end_ms = (max(0, round(at_s * 1000)) for at_s in (act.start_s, act.end_s))
            times = {"at_ms": end_ms, "start_ms": start_ms, "end_ms": end_ms}
            act_of = {"type": "caller.act", "call_id": call_id, "number": number, "kind": kind.value}
            yield {**act_of, "text": act.text, **times}


def kind_of(scenario: Scenario, step: Step) -> ActKind | None:
    """Returns what the caller's sound in a step is; None where the caller makes none."""
    if step.sound:
        return ActKind.VOCAL_TIC if step.sound == "cough" else None
    if not step.say and not step.improvise:
        return None
    if step.voice not in ("", scenario.voice):
        return ActKind.SIDE_TALK
    return ActKind.BACKCHANNEL if step.words and NOISES.all_of(step.words) else ActKind.SPEECH
