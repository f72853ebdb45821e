"""What may not be interrupted, and echoes: what the caller says meanwhile is answered all the same."""

from __future__ import annotations

import math

from bridge.turns.actions import Answer, Commit, Pause, Reason
from bridge.turns.protection import BargeInProtection
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns
from bridge.turns.words import MAX_SAID_CHARS
from tests.bridge.turns.test_turns import speaking


def test_what_may_not_be_interrupted_goes_on_and_the_words_are_answered_after_it() -> None:
    turns = speaking(interruptible=False)
    assert turns.speech_started(11.0) == []
    assert turns.partial(11.2, "sales") == []
    turns.speech_stopped(11.4)
    assert turns.transcript(11.6, "sales please") == []
    assert turns.finished(13.0) == [Answer("sales please")]


def test_words_whose_final_transcript_never_comes_are_answered_after_what_may_not_be_interrupted() -> None:
    turns = speaking(interruptible=False)
    turns.speech_started(11.0)
    turns.partial(11.2, "sales please")
    turns.speech_stopped(11.4)
    assert turns.finished(13.0) == []
    due_s = turns.deadline_s()
    assert due_s <= 13.0 + Rules().final_timeout_ms / 1000
    assert turns.expire(due_s) == [Answer("sales please")]


def test_words_of_a_caller_still_speaking_at_the_end_are_answered_whole() -> None:
    turns = speaking(interruptible=False)
    turns.transcript(11.6, "sales")
    turns.speech_started(12.9)
    assert turns.finished(13.0) == []
    turns.speech_stopped(13.2)
    assert turns.transcript(13.4, "please") == [Answer("sales please")]


def test_a_caller_who_speaks_on_into_what_may_be_interrupted_pauses_it() -> None:
    turns = speaking(interruptible=False)
    turns.speech_started(11.0)
    assert turns.playing(12.0, interruptible=True) == [Pause()]


def test_a_protected_greeting_is_not_paused_by_a_short_sound() -> None:
    turns = speaking(protect_ms=1500)
    assert turns.speech_started(10.5) == []
    turns.speech_stopped(10.9)
    assert turns.expire(11.5) == []
    assert turns.deadline_s() == math.inf


def test_a_caller_who_outlasts_the_protection_pauses_at_its_end() -> None:
    turns = speaking(protect_ms=1500)
    turns.speech_started(10.5)
    assert turns.deadline_s() == 11.5
    assert turns.expire(11.5) == [Pause()]


def test_words_within_the_protection_commit_at_its_end() -> None:
    turns = speaking(protect_ms=1500)
    turns.speech_started(10.5)
    assert turns.partial(10.7, "hello") == []
    turns.speech_stopped(10.9)
    assert turns.transcript(11.0, "hello there") == []
    assert turns.expire(11.5) == [Commit(Reason.WORDS), Answer("hello there")]


def test_words_within_a_protection_that_outlasts_the_greeting_are_answered_after_it() -> None:
    turns = speaking(protect_ms=1500)
    turns.speech_started(10.5)
    turns.speech_stopped(10.9)
    turns.transcript(11.0, "hello there")
    assert turns.finished(11.2) == [Answer("hello there")]


def test_words_within_a_protection_that_has_just_ended_are_answered_with_those_that_follow() -> None:
    turns = speaking(protect_ms=1500)
    turns.speech_started(10.5)
    assert turns.transcript(11.0, "hello there") == []
    # the protection is over, but `expire` has not been called yet
    assert turns.transcript(11.6, "anybody") == [Commit(Reason.WORDS), Answer("hello there anybody")]
    turns.began(11.6)
    assert turns.finished(12.0) == []


def test_an_echo_at_the_start_is_ignored_and_a_caller_is_not() -> None:
    turns = speaking(Rules(echo_guard_ms=300))
    assert turns.speech_started(10.1) == []
    turns.speech_stopped(10.2)
    assert turns.expire(10.3) == []
    assert turns.speech_started(10.4) == [Pause()]


def test_what_is_said_while_the_agent_cannot_be_interrupted_is_bounded() -> None:
    turns = Turns(Rules())
    turns.began(1.0, interruptible=False)
    turns.playing(1.5, interruptible=False)
    for index in range(1_000):
        turns.speech_started(2.0 + index)
        turns.transcript(2.5 + index, f"first {'word ' * 500}" if index == 0 else "word " * 500)
    (answer,) = turns.finished(2_000.0)
    assert isinstance(answer, Answer)
    assert answer.text.startswith("first word")
    assert len(answer.text) <= MAX_SAID_CHARS
    protection = BargeInProtection()
    for _ in range(100):
        protection.hear("word " * 500)
    assert len(protection.end()) <= MAX_SAID_CHARS
