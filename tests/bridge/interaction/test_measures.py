"""tau-voice's measures on calls made by hand: each sound is at a known time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.interaction.heard_frames import FRAME_S, HeardFrames, Span, gaps
from bridge.interaction.measures import Act, ActKind, Measures, measure
from bridge.interaction.reaction import react


def heard(*spans: tuple[float, float]) -> HeardFrames:
    return HeardFrames(np.concatenate([np.arange(round(a / FRAME_S), round(b / FRAME_S)) * FRAME_S for a, b in spans]))


def act(start_s: float, end_s: float, kind: ActKind = ActKind.SPEECH) -> Act:
    return Act(start_s, end_s, kind)


def test_stretches_are_joined_over_short_pauses() -> None:
    agent = heard((0, 1), (1.1, 2), (2.5, 3))
    assert [(round(one.start_s, 2), round(one.end_s, 2)) for one in agent.spans(0.2)] == [(0, 2), (2.5, 3)]
    assert HeardFrames(np.zeros(0)).spans(0.2) == []
    assert gaps([Span(0, 1), Span(3, 4), Span(0.5, 2)]) == [Span(2, 3)]


def test_an_answer_is_timed_from_the_callers_end_to_the_agents_beginning() -> None:
    found = measure([act(1, 2), act(5, 6)], heard((2.5, 4), (7, 8)), 9)
    assert found.response_s == [pytest.approx(0.5), pytest.approx(1.0)]
    assert (found.answered.yes, found.answered.count) == (2, 2)
    assert found.dead_air_s == [pytest.approx(0.5), pytest.approx(1.0), pytest.approx(1.0)]
    assert found.yielded.count == 0


def test_a_caller_who_has_to_speak_again_was_not_answered() -> None:
    found = measure([act(1, 2), act(8, 9)], heard((9.5, 10)), 12)
    assert (found.answered.yes, found.answered.count) == (1, 2)
    assert found.response_s == [pytest.approx(0.5)]
    assert found.long_silences == 1


def test_a_turn_after_which_the_call_ends_is_not_counted() -> None:
    assert measure([act(1, 2)], heard((0, 0.5)), 3).answered.count == 0


@pytest.mark.parametrize(("silent_s", "rate"), [(2.4, 1.0), (3.9, 1.0), (4.2, 0.0)])
def test_an_agent_yields_within_two_seconds_or_not(silent_s: float, rate: float) -> None:
    found = measure([act(2, 3)], heard((0, silent_s)), 10)
    assert found.yielded.rate == rate
    assert found.yield_s == ([pytest.approx(silent_s - 2)] if rate else [])


def test_a_caller_who_answers_quickly_does_not_interrupt() -> None:
    found = measure([act(2.1, 3)], heard((0, 2), (3.5, 4)), 10)
    assert found.yielded.count == 0
    assert found.response_s == [pytest.approx(0.5)]


def test_a_pause_inside_a_sentence_is_no_yielding() -> None:
    found = measure([act(2, 3)], heard((0, 2.1), (2.5, 9)), 10)
    assert found.yielded.rate == 0.0


def test_an_agent_that_begins_while_the_caller_speaks_interrupts() -> None:
    found = measure([act(1, 4), act(6, 7)], heard((2, 3), (7.5, 8)), 9)
    assert found.agent_interruptions.rate == 0.5
    assert found.talk_over_s == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [ActKind.BACKCHANNEL, ActKind.VOCAL_TIC, ActKind.SIDE_TALK])
def test_what_is_no_turn_is_to_be_talked_through(kind: ActKind) -> None:
    through = measure([act(2, 2.4, kind)], heard((0, 8)), 9)
    paused = measure([act(2, 2.4, kind)], heard((0, 2.3), (2.6, 8)), 9)
    assert (through.selective[kind].rate, paused.selective[kind].rate) == (1.0, 0.0)
    assert through.yielded.count == paused.yielded.count == through.answered.count == 0


def test_a_cough_in_a_silence_is_not_to_be_answered_and_an_mm_hm_there_is_not_counted() -> None:
    tic, noise = ActKind.VOCAL_TIC, ActKind.BACKCHANNEL
    assert measure([act(2, 2.4, tic)], heard((0, 1), (3, 4)), 9).selective[tic].rate == 0.0
    assert measure([act(2, 2.4, tic)], heard((0, 1), (4.5, 5)), 9).selective[tic].rate == 1.0
    assert measure([act(2, 2.4, noise)], heard((0, 1), (3, 4)), 9).selective[noise].count == 0


def test_nothing_is_no_reaction() -> None:
    assert react(heard((0, 1)), 5, 6, math.inf) is None


def test_calls_are_added_up() -> None:
    total = Measures()
    for agent in (heard((0, 2.4)), heard((0, 9))):
        total.add(measure([act(2, 3)], agent, 10))
    assert (total.yielded.yes, total.yielded.count, total.duration_s) == (1, 2, 20)
    assert math.isnan(total.answered.rate)
