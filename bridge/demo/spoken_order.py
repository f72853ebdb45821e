"""Holds the demo's second call, an order by telephone, and shows what was said and where the time went."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.converse.scenario_call import ScenarioCall
from bridge.converse.scenario_file import read_scenarios
from bridge.converse.server_group import staged
from bridge.converse.timeline import CallerAct, Timeline
from bridge.converse.voices import RATE_HZ, Voices, embedded_voice
from bridge.dial.caller import Caller
from bridge.dial.table import aligned
from bridge.dial.wav import both_sides, write_wav
from bridge.hearing.asr.recognizer_pool import models_for

ORDER: Final = Path(__file__).parent / "order.yaml"
NOISE: Final = 1
BARGE_IN: Final = 2
"""Which steps of the order are the listener's noise and the barge-in; all others are answered."""


class WentWrong(Exception):
    """The conversation did not go as it should. The text says where."""


@dataclass(slots=True)
class SpokenOrder:
    """The call, once it is over."""

    caller: Caller
    timeline: Timeline

    @property
    def conversation(self) -> dict[str, Any]:
        """The conversation as the calls API shows it."""
        assert self.timeline.state is not None
        conversation: dict[str, Any] = self.timeline.state["conversation"]
        return conversation

    @property
    def noise_ms(self) -> tuple[int, int] | None:
        """Returns when the agent paused for the noise and when it went on, in ms of the call; None if it did not."""
        noise, barge_in = self.timeline.acts[NOISE], self.timeline.acts[BARGE_IN]
        at_ms = {
            event["type"]: int(event["at_ms"])
            for at_s, event in self.timeline.events
            if noise.start_s <= at_s < barge_in.start_s and event["type"] in ("response.paused", "response.resumed")
        }
        return (at_ms["response.paused"], at_ms["response.resumed"]) if len(at_ms) == 2 else None


def available() -> bool:
    """Tells whether the recogniser of the demo extra is installed."""
    try:
        return bool(models_for("auto", "en"))
    except OSError:
        return False


async def hold_order(dial: asyncio.Barrier) -> SpokenOrder:
    """Starts a server with the embedded voice and recogniser, and orders once `dial` lets it.

    Raises CannotServe, CannotCall, Rejected, SpeechError, WentWrong.
    """
    try:
        return await _hold(dial)
    except BaseException:
        await dial.abort()  # nobody is to wait for a conversation that cannot begin
        raise


async def _hold(dial: asyncio.Barrier) -> SpokenOrder:
    scenarios = read_scenarios(ORDER)
    async with embedded_voice() as engine, staged(scenarios, Voices(engine)) as stage:
        call = ScenarioCall(scenarios[0], stage)
        await call.prepare()
        await dial.wait()
        timeline = await call.hold()
    if timeline.problem:
        raise WentWrong(timeline.problem)
    return SpokenOrder(call.caller, timeline)


def write(order: SpokenOrder, folder: Path) -> list[Path]:
    """Writes the call as a stereo WAV and its transcript as JSON; returns their paths."""
    wav, transcript = folder / "conversation.wav", folder / "conversation.json"
    write_wav(wav, both_sides(order.caller), RATE_HZ)
    transcript.write_text(json.dumps(order.conversation, ensure_ascii=False, indent=2) + "\n")
    return [wav, transcript]


def show(order: SpokenOrder) -> str:
    """Returns the transcript, and a table of where the time of each turn went."""
    acts = order.timeline.acts
    entries = sorted(order.conversation["transcript"], key=lambda entry: entry["start_ms"])
    lines = [
        f"{entry['start_ms'] / 1000:6.1f} s  {'caller' if entry['who'] == 'user' else 'agent '}  {entry['text']}"
        + ("  — interrupted" if entry["interrupted"] else "")
        for entry in entries
    ]
    if order.noise_ms is not None:
        paused_ms, resumed_ms = order.noise_ms
        outcome = f"— paused at “{acts[NOISE].text}”, and went on {resumed_ms - paused_ms} ms later"
        before = sum(entry["start_ms"] < paused_ms for entry in entries)
        lines.insert(before, f"{paused_ms / 1000:6.1f} s  agent   {outcome}")
    rows: list[tuple[str, ...]] = [
        ("the caller's last sound → the agent's first, ms", "heard", "transcript", "sentence", "audio", "frame")
    ]
    traces = [entry["trace"] for entry in entries if entry["who"] == "agent" and "speech_end_ms" in entry["trace"]]
    answered = [act for act in acts if act.step != NOISE]
    for act, trace in zip(answered, traces, strict=False):
        stages = (trace[f"{stage}_ms"] for stage in ("transcript", "first_sentence", "first_audio", "first_frame"))
        rows.append((act.text, _answered_ms(order.timeline, act), *(f"{stage}" for stage in stages)))
    silent_ms = (order.timeline.agent.silent_from_s(acts[BARGE_IN].start_s) - acts[BARGE_IN].start_s) * 1000
    figures = [("the interrupting caller's first sound → the agent silent", f"{silent_ms:.0f} ms")]
    measured = order.conversation["interrupt_to_silence_ms"]
    worst = f"{max(measured):.1f} ms" if measured else "–"
    figures.append(("signal → the agent's last sound sent, by the server's account, worst", worst))
    return "\n".join([*lines, "", aligned(rows), "", aligned(figures)])


def _answered_ms(timeline: Timeline, act: CallerAct) -> str:
    answered_s = timeline.agent.first_s(max(act.end_s, timeline.agent.silent_from_s(act.start_s)))
    return "–" if answered_s is None else f"{(answered_s - act.end_s) * 1000:.0f}"
