"""Verdicts on made-up calls: every expectation met and missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bridge.converse.expectations import judge
from bridge.converse.scenario import Scenario
from bridge.converse.timeline import CallerAct, Timeline, ToolCall


def call(*heard: tuple[float, float], seconds: float = 10.0, **known: Any) -> Timeline:
    """A call on which the agent is heard from one second to another, as often as said."""
    arrivals_s = np.arange(0, seconds, 0.02)
    voiced = np.zeros(arrivals_s.size, bool)
    for start_s, end_s in heard:
        voiced |= (arrivals_s >= start_s - 1e-9) & (arrivals_s < end_s - 1e-9)
    return Timeline(arrivals_s, voiced, **known)


def scenario(step: dict[str, Any] | None = None, **expect: Any) -> Scenario:
    return Scenario.model_validate({"caller": [{"say": "Stop.", **(step or {})}], "expect": expect})


def state(*turns: tuple[str, str], next: str = "hangup") -> dict[str, Any]:
    entries = [{"who": who, "text": text, "start_ms": number} for number, (who, text) in enumerate(turns)]
    return {"conversation": {"transcript": entries, "next": next}}


STOP = CallerAct(0, "Stop.", 2.0, 2.5)
OTHER_EVENT = (0.1, {"type": "response.started"})
DROPPED = (2.4, {"type": "response.interrupted"})


@pytest.mark.parametrize(
    ("timeline", "measured", "passed"),
    [
        (call((1, 2.1), (5, 6), acts=[STOP], events=[DROPPED]), "100 ms", True),
        (call((1, 2.4), (5, 6), acts=[STOP], events=[DROPPED]), "400 ms", False),
        (call((1, 2.1), (5, 6), acts=[STOP]), "100 ms", True),
        (call((1, 2.1), (2.7, 6), acts=[STOP], events=[OTHER_EVENT]), "silent after 100 ms, but went on later", False),
        (call((1, 1.5), acts=[STOP]), "it was not speaking", False),
        (call((1, 2.1), (2.3, 4), acts=[STOP], events=[DROPPED]), "2000 ms", False),
    ],
)
def test_yielding_is_measured_from_the_callers_first_sound(timeline: Timeline, measured: str, passed: bool) -> None:
    (verdict,) = judge(scenario({"yields_within_ms": 150}), timeline)
    assert (verdict.measured, verdict.passed) == (measured, passed)


@pytest.mark.parametrize(
    ("events", "measured", "passed"),
    [([OTHER_EVENT], "it went on", True), ([DROPPED], "it dropped its answer", False), ([], "not known", None)],
)
def test_going_on_is_not_dropping_the_answer(events: list[Any], measured: str, passed: bool | None) -> None:
    (verdict,) = judge(scenario({"goes_on": True}), call((1, 2.1), (2.9, 6), acts=[STOP], events=events))
    assert (verdict.measured, verdict.passed) == (measured, passed)


def test_what_the_next_step_brings_about_is_not_held_against_this_one() -> None:
    acts = [CallerAct(0, "Mm-hm.", 2.0, 2.3), CallerAct(1, "Stop.", 3.0, 3.4)]
    both = Scenario.model_validate({"caller": [{"say": "Mm-hm.", "goes_on": True}, {"say": "Stop."}]})
    (verdict,) = judge(both, call((1, 3.1), acts=acts, events=[(3.2, {"type": "response.interrupted"})]))
    assert verdict.measured == "it went on"


def test_a_pause_is_the_agents_longest_silence_in_the_second_after() -> None:
    spoken = call((1, 2.2), (2.7, 2.8), (4, 6), acts=[STOP])
    (verdict,) = judge(scenario({"pauses_at_most_ms": 300}), spoken)
    assert (verdict.measured, verdict.passed) == ("500 ms", False)
    assert judge(scenario({"pauses_at_most_ms": 600}), spoken)[0].passed


@pytest.mark.parametrize(
    ("spoken", "measured", "passed"),
    [
        (((1, 2.9), (12.5, 14)), "silent after 900 ms", True),
        (((1, 6.5), (12.5, 14)), "silent after 4500 ms", False),
        (((1, 2.9), (7, 8), (12.5, 14)), "silent after 6000 ms", False),
    ],
)
def test_to_wait_is_to_be_silent_as_long_as_the_step_lasts(
    spoken: tuple[tuple[float, float], ...], measured: str, passed: bool
) -> None:
    music = CallerAct(0, "music", 2.0, 12.0)
    (verdict,) = judge(scenario({"waits_within_ms": 4_000}), call(*spoken, acts=[music]))
    assert (verdict.measured, verdict.passed) == (measured, passed)


def test_an_answer_is_measured_from_the_callers_last_sound() -> None:
    (verdict,) = judge(scenario({"answered_within_ms": 700}), call((0, 1), (3.1, 4), acts=[STOP]))
    assert (verdict.measured, verdict.passed) == ("600 ms", True)
    (verdict,) = judge(scenario({"answered_within_ms": 700}), call((0, 1), acts=[STOP]))
    assert (verdict.measured, verdict.passed) == ("never", False)


def test_a_step_that_was_never_reached_and_a_call_that_failed() -> None:
    verdicts = judge(scenario({"goes_on": True}), call(problem="the agent did not speak for 15 s"))
    assert [(verdict.measured, verdict.passed) for verdict in verdicts] == [
        ("the agent did not speak for 15 s", False),
        ("it was not", False),
    ]


def test_words_are_searched_for_whatever_their_case() -> None:
    known = call(state=state(("agent", "Good morning."), ("user", "When do you open?"), ("agent", "At Nine.")))
    expect = {
        "agent_says": ["nine", "ten"], "agent_never_says": ["morning", "evening"], "caller_is_understood": ["open"],
        "agent_turns": 2, "agent_turns_at_most": 1, "next": "hangup", "ended_by": "agent",
    }  # fmt: skip
    verdicts = judge(scenario(**expect), known)
    assert [verdict.passed for verdict in verdicts] == [True, False, True, False, True, True, False, True, False]
    assert verdicts[0].measured == "“At Nine.”"
    assert verdicts[1].measured == "“Good morning.” / “At Nine.”"
    unknown = judge(scenario(**expect), call())
    assert [verdict.passed for verdict in unknown] == [None] * 6 + [False] + [None] * 2


def test_what_cannot_be_known_is_neither_passed_nor_failed() -> None:
    expect = {"agent_says": ["x"], "agent_never_says": ["x"], "next": "hangup", "tools": [{"name": "book"}],
              "agent_is_heard_to_say": ["x"], "agent_turns": 1, "agent_turns_at_most": 1}  # fmt: skip
    verdicts = judge(scenario(**expect), call(tools=None))
    assert {(verdict.measured, verdict.passed) for verdict in verdicts} == {("not known", None)}


def test_the_words_of_the_sound_are_judged_apart() -> None:
    (verdict,) = judge(scenario(agent_is_heard_to_say=["nine"]), call(recognised="We open at nine."))
    assert verdict.passed


@pytest.mark.parametrize(
    ("called", "passed"),
    [
        ([ToolCall("book", {"seats": 2, "day": "Sunday"})], True),
        ([ToolCall("book", {"seats": 3})], False),
        ([ToolCall("book", {"seats": 2}), ToolCall("book", {"seats": 2})], False),
        ([], False),
    ],
)
def test_tools_are_called_as_often_as_said_with_these_arguments(called: list[ToolCall], passed: bool) -> None:
    (verdict,) = judge(scenario(tools=[{"name": "book", "arguments": {"seats": 2}}]), call(tools=called))
    assert verdict.passed is passed


def test_silence_of_both_lies_between_the_agents_first_sound_and_its_last() -> None:
    spoken = call((1, 2), (5, 6), seconds=20, acts=[CallerAct(0, "Hi.", 2.5, 3.0), CallerAct(0, "Bye.", 15.0, 15.4)])
    (verdict,) = judge(scenario(longest_silence_ms=1_000), spoken)
    assert (verdict.measured, verdict.passed) == ("2000 ms", False)


def test_nothing_expected_is_that_the_call_goes_through() -> None:
    (verdict,) = judge(scenario(), call())
    assert verdict.passed
