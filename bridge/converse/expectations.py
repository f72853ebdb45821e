"""Judges a call by its scenario: a timeline in, verdicts out. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.converse.scenario import Expectations, Scenario, Step
from bridge.converse.timeline import CallerAct, Timeline
from bridge.interaction.reaction import PAUSE_S, YIELD_S

NOT_KNOWN: Final = "not known"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One expectation, and what came of it."""

    expectation: str
    measured: str
    passed: bool | None
    """None where it could not be measured."""


def judge(scenario: Scenario, timeline: Timeline) -> list[Verdict]:
    """Returns a verdict on each expectation of a scenario."""
    verdicts = [*_course(timeline), *_steps(scenario, timeline), *_call(scenario.expect, timeline)]
    return verdicts or [Verdict("the call goes through", "it did", True)]


def _course(timeline: Timeline) -> Iterator[Verdict]:
    if timeline.problem:
        yield Verdict("the call goes through", timeline.problem, False)


def _steps(scenario: Scenario, timeline: Timeline) -> Iterator[Verdict]:
    for number, step in enumerate(scenario.caller):
        if not step.judged:
            continue
        acts = [act for act in timeline.acts if act.step == number]
        if not acts:
            yield Verdict(f"“{step}” is reached", "it was not", False)
        for act in acts:
            later_s = (other.start_s for other in timeline.acts if other.start_s > act.start_s)
            yield from _act(step, act, min(act.end_s + YIELD_S, *later_s, math.inf), timeline)


def _act(step: Step, act: CallerAct, until_s: float, timeline: Timeline) -> Iterator[Verdict]:
    """Yields the verdicts on one act of the caller's; what happens after `until_s` is not because of it."""
    if step.yields_within_ms is not None:
        yield _yields(step.yields_within_ms, act, until_s, timeline)
    if step.goes_on:
        dropped = timeline.dropped(act.start_s, until_s)
        if not timeline.agent.heard_at(act.start_s):
            yield Verdict(f"“{act.text}”: the agent goes on", "it was not speaking", False)
        else:
            measured = NOT_KNOWN if dropped is None else "it dropped its answer" if dropped else "it went on"
            yield Verdict(f"“{act.text}”: the agent goes on", measured, None if dropped is None else not dropped)
    if step.pauses_at_most_ms is not None:
        pause_ms = timeline.agent.longest_pause_s(act.start_s, act.start_s + PAUSE_S) * 1000
        yield Verdict(
            f"“{act.text}”: a pause of {step.pauses_at_most_ms} ms at most",
            f"{pause_ms:.0f} ms",
            pause_ms <= step.pauses_at_most_ms,
        )
    if step.waits_within_ms is not None:
        lasting_s = max(act.end_s - act.start_s - step.waits_within_ms / 1000, 0.0)
        silent_ms = (timeline.agent.silent_from_s(act.start_s, lasting_s) - act.start_s) * 1000
        yield Verdict(
            f"“{act.text}”: the agent waits, from {step.waits_within_ms} ms on",
            f"silent after {silent_ms:.0f} ms",
            silent_ms <= step.waits_within_ms,
        )
    if step.answered_within_ms is not None:
        heard_s = timeline.agent.first_s(act.end_s)
        expectation = f"“{act.text}”: answered within {step.answered_within_ms} ms"
        if heard_s is None:
            yield Verdict(expectation, "never", False)
        else:
            answered_ms = (heard_s - act.end_s) * 1000
            yield Verdict(expectation, f"{answered_ms:.0f} ms", answered_ms <= step.answered_within_ms)


def _yields(limit_ms: int, act: CallerAct, until_s: float, timeline: Timeline) -> Verdict:
    expectation = f"“{act.text}”: the agent yields within {limit_ms} ms"
    if not timeline.agent.heard_at(act.start_s):
        return Verdict(expectation, "it was not speaking", False)
    silent_ms = (timeline.agent.silent_from_s(act.start_s) - act.start_s) * 1000
    if timeline.dropped(act.start_s, until_s) is False:
        return Verdict(expectation, f"silent after {silent_ms:.0f} ms, but went on later", False)
    return Verdict(expectation, f"{silent_ms:.0f} ms", silent_ms <= limit_ms)


def _call(expect: Expectations, timeline: Timeline) -> Iterator[Verdict]:
    agent, caller = timeline.said("agent"), timeline.said("user")
    heard = None if timeline.recognised is None else [timeline.recognised]
    for pattern in expect.agent_says:
        yield _found(f"the agent says “{pattern}”", pattern, agent)
    for pattern in expect.agent_is_heard_to_say:
        yield _found(f"the agent is heard to say “{pattern}”", pattern, heard)
    for pattern in expect.caller_is_understood:
        yield _found(f"the caller is understood: “{pattern}”", pattern, caller)
    for pattern in expect.agent_never_says:
        said = [text for text in agent or () if re.search(pattern, text, re.IGNORECASE)]
        measured = NOT_KNOWN if agent is None else _quoted(said) if said else "never"
        yield Verdict(f"the agent never says “{pattern}”", measured, None if agent is None else not said)
    if expect.tools:
        yield _tools(expect, timeline)
    if expect.next is not None:
        at = None if timeline.state is None else timeline.state["conversation"]["next"]
        yield _equal(f"the call goes on at {expect.next}", expect.next, at)
    if expect.ended_by is not None:
        by = "agent" if timeline.by_server else "caller"
        yield _equal(f"the {expect.ended_by} ends the call", expect.ended_by, by)
    if expect.agent_turns is not None:
        turns = None if agent is None else str(len(agent))
        yield _equal(f"the agent has {expect.agent_turns} turns", str(expect.agent_turns), turns)
    if expect.agent_turns_at_most is not None:
        most = expect.agent_turns_at_most
        passed = None if agent is None else len(agent) <= most
        yield Verdict(f"the agent has {most} turns at most", NOT_KNOWN if agent is None else str(len(agent)), passed)
    if expect.longest_silence_ms is not None:
        silence_ms = timeline.longest_silence_ms()
        yield Verdict(
            f"nobody speaks for {expect.longest_silence_ms} ms at most",
            f"{silence_ms:.0f} ms",
            silence_ms <= expect.longest_silence_ms,
        )


def _found(expectation: str, pattern: str, texts: Sequence[str] | None) -> Verdict:
    if texts is None:
        return Verdict(expectation, NOT_KNOWN, None)
    found = [text for text in texts if re.search(pattern, text, re.IGNORECASE)]
    return Verdict(expectation, _quoted(found or texts), bool(found))


def _tools(expect: Expectations, timeline: Timeline) -> Verdict:
    wanted = ", ".join(f"{tool.name}({_listed(tool.arguments)})" for tool in expect.tools)
    called = timeline.tools
    if called is None:
        return Verdict(f"the tools {wanted}", NOT_KNOWN, None)
    passed = len(called) == len(expect.tools) and all(
        tool.name == call.name and tool.arguments.items() <= call.arguments.items()
        for tool, call in zip(expect.tools, called, strict=True)
    )
    measured = ", ".join(f"{call.name}({_listed(call.arguments)})" for call in called) or "none"
    return Verdict(f"the tools {wanted}", measured, passed)


def _equal(expectation: str, wanted: str, measured: str | None) -> Verdict:
    if measured is None:
        return Verdict(expectation, NOT_KNOWN, None)
    return Verdict(expectation, measured or "nothing", measured == wanted)


def _listed(arguments: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def _quoted(texts: Sequence[str]) -> str:
    return " / ".join(f"“{text}”" for text in texts) or "nothing"
