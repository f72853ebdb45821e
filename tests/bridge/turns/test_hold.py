"""The line on hold: the agent says nothing into it, prompts nobody, and goes on when the caller is back."""

from __future__ import annotations

import math

from bridge.turns.actions import Answer, Commit, Pause, PromptCaller, Reason, Resume, TakeBack
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns


def speaking() -> Turns:
    """Returns turns in which the agent began to be heard at 10 s."""
    turns = Turns(Rules())
    turns.began(9.0)
    turns.playing(10.0)
    return turns


def test_what_was_said_into_the_hold_is_said_again_when_the_caller_is_back() -> None:
    turns = speaking()
    assert turns.hold_began(800) == [Pause(), TakeBack(800)]
    assert turns.paused
    assert turns.expire(100.0) == [], "a hold may last"
    assert turns.hold_ended(120.0) == [Resume()]
    assert not turns.paused


def test_a_sound_that_had_paused_the_agent_does_not_resume_it_on_hold() -> None:
    turns = speaking()
    assert turns.speech_started(11.0) == [Pause()]
    assert turns.hold_began(800) == [], "nothing was said into it"
    turns.speech_stopped(12.0)
    assert turns.expire(30.0) == []
    assert turns.transcript(31.0, "") == []
    assert turns.hold_ended(40.0) == [Resume()]


def test_a_caller_who_comes_back_speaking_is_heard_out() -> None:
    turns = speaking()
    turns.hold_began(800)
    assert turns.speech_started(20.0) == []
    assert turns.hold_ended(20.5) == []
    turns.speech_stopped(21.0)
    assert turns.expire(turns.deadline_s()) == [Resume()]


def test_a_reply_that_is_asked_for_on_hold_waits() -> None:
    turns = Turns(Rules())
    assert turns.hold_began(800) == []
    assert turns.began(9.0) == [Pause()]
    assert turns.hold_ended(10.0) == [Resume()]


def test_nobody_is_prompted_on_hold() -> None:
    turns = Turns(Rules(no_input_timeout_ms=5_000))
    turns.began(9.0)
    turns.playing(10.0)
    turns.finished(12.0)
    assert turns.deadline_s() == 17.0
    assert turns.hold_began(800) == []
    assert turns.deadline_s() == math.inf
    assert turns.expire(100.0) == []
    assert turns.hold_ended(100.0) == []
    assert turns.deadline_s() == 105.0, "the time counts from when the caller is back"
    assert turns.expire(105.0) == [PromptCaller()]


def test_a_prompt_that_the_hold_has_made_stale_is_dropped() -> None:
    turns = Turns(Rules(no_input_timeout_ms=5_000))
    turns.began(9.0, is_prompt=True)
    turns.playing(10.0)
    assert turns.hold_began(800) == [Pause(), TakeBack(800)]
    assert turns.hold_ended(100.0) == [Commit(Reason.HOLD)]
    assert not turns.paused
    assert turns.deadline_s() == 105.0, "the caller's silence counts from when they are back"


def test_whoever_comes_back_speaking_while_a_prompt_waits_is_answered() -> None:
    turns = Turns(Rules())
    turns.began(9.0, is_prompt=True)
    turns.hold_began(800)
    turns.speech_started(20.0)
    assert turns.hold_ended(20.5) == [Commit(Reason.HOLD)]
    assert turns.transcript(21.0, "I am back") == [Answer("I am back")]
