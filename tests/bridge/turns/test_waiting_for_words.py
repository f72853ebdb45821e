"""How long the caller's words are waited for, and what becomes of them when something else ends meanwhile."""

from __future__ import annotations

import math

import pytest

from bridge.turns.actions import Answer, Commit, Pause, Prepare, PromptCaller, Reason, Resume
from bridge.turns.patience import SPEECH_LIMIT_S, STILL_S
from bridge.turns.present_reply import Activity
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns
from bridge.turns.words import Backchannels

FINAL_TIMEOUT_S = Rules().final_timeout_ms / 1000


def speaking(rules: Rules | None = None, *, interruptible: bool = True, protect_ms: int = 0) -> Turns:
    """Returns turns in which the agent began to be heard at 10 s."""
    turns = Turns(rules or Rules())
    turns.began(9.0, audio_ms=9_000, interruptible=interruptible)
    turns.playing(10.0, interruptible=interruptible, protect_ms=protect_ms)
    return turns


def test_words_kept_for_later_wait_for_a_caller_who_still_speaks() -> None:
    turns = speaking(interruptible=False)
    turns.speech_started(11.0)
    assert turns.transcript(11.5, "two") == []
    assert turns.speech_started(11.6) == []
    assert turns.finished(12.0) == []
    assert turns.deadline_s() == 12.0 + SPEECH_LIMIT_S
    assert turns.expire(12.0 + SPEECH_LIMIT_S) == [Answer("two")]


def test_an_empty_transcript_does_not_answer_for_a_caller_who_still_speaks() -> None:
    turns = speaking(interruptible=False)
    turns.speech_started(11.0)
    turns.transcript(11.5, "two")
    turns.speech_started(11.6)
    turns.finished(12.0)
    turns.speech_stopped(12.2)
    turns.speech_started(12.3)
    assert turns.transcript(12.5, "") == [], "of the sound before"
    turns.speech_stopped(13.0)
    assert turns.transcript(13.2, "") == [Answer("two")]


def test_words_that_interrupted_are_waited_for_as_long_as_the_caller_speaks() -> None:
    turns = speaking()
    turns.speech_started(11.0)
    assert turns.partial(11.3, "wait") == [Commit(Reason.WORDS)]
    assert turns.deadline_s() >= 11.3 + STILL_S
    turns.speech_stopped(11.5)
    assert turns.deadline_s() == 11.5 + FINAL_TIMEOUT_S


def test_another_sound_before_the_words_of_the_first_gives_them_more_time() -> None:
    turns = speaking(Rules(min_interrupt_words=0))
    assert turns.speech_started(11.0) == [Commit(Reason.SPEECH)]
    turns.speech_stopped(11.5)
    turns.speech_started(12.0)
    assert turns.deadline_s() == 12.0 + SPEECH_LIMIT_S
    assert turns.expire(12.0 + SPEECH_LIMIT_S) == [PromptCaller()]
    assert turns.deadline_s() == math.inf, "the caller is prompted once"
    assert turns.transcript(30.0, "") == [], "and is not waited for any more"


def test_a_caller_who_speaks_on_is_given_more_time_than_one_who_is_silent() -> None:
    speaks, silent = Turns(Rules(final_timeout_ms=1_000)), Turns(Rules(final_timeout_ms=1_000))
    for turns in (speaks, silent):
        turns.speech_started(1.0)
        turns.partial(1.5, "two")
    silent.speech_stopped(1.6)
    assert silent.deadline_s() == 2.6
    assert speaks.deadline_s() >= 1.5 + STILL_S


def test_a_pause_ends_at_the_moment_that_was_told() -> None:
    turns = speaking()
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    due_s = turns.deadline_s()
    assert turns.expire(due_s - 0.001) == []
    assert turns.expire(due_s) == [Resume()]


def test_words_that_grow_prolong_a_pause() -> None:
    turns = speaking(Rules(min_interrupt_words=5))
    turns.speech_started(11.0)
    turns.partial(11.5, "two")
    before_s = turns.deadline_s()
    assert before_s > 11.5
    turns.partial(12.5, "two pizzas")
    assert turns.deadline_s() > before_s


def test_a_sound_with_words_pauses_longer_than_one_without() -> None:
    with_words, without = (speaking(Rules(false_interruption_timeout_ms=500, min_interrupt_words=3)) for _ in range(2))
    with_words.partial(10.5, "um")
    assert with_words.paused, "a service without events shows its sounds by words"
    without.speech_started(10.5)
    assert with_words.deadline_s() >= without.deadline_s() >= 10.5


@pytest.mark.parametrize(("resumes", "prepared"), [(False, [Prepare("wait a moment")]), (True, [])])
def test_an_answer_is_begun_early_once_a_caller_who_interrupted_is_quiet(
    resumes: bool, prepared: list[Prepare]
) -> None:
    turns = speaking(Rules(early_answers=True))
    turns.speech_started(11.0)
    turns.speech_paused()
    if resumes:
        turns.speech_resumed()
    assert turns.partial(11.3, "wait") == [Commit(Reason.WORDS)]
    assert turns.partial(11.5, "wait a moment") == prepared


def test_an_answer_is_begun_early_once_the_sound_is_over() -> None:
    turns = speaking(Rules(early_answers=True))
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    assert turns.partial(11.3, "wait") == [Commit(Reason.WORDS)]
    assert turns.partial(11.5, "wait a moment") == [Prepare("wait a moment")]


def test_a_sound_that_begins_is_not_quiet() -> None:
    turns = Turns(Rules(early_answers=True))
    turns.speech_started(1.0)
    assert turns.partial(1.2, "two") == []
    assert turns.speech_paused() == [Prepare("two")]


# Protection -----------------------------------------------------------------------------------------------------------


def protected() -> Turns:
    """Returns turns with a greeting that may not be interrupted before 12 s."""
    return speaking(Rules(backchannels=Backchannels(["mm hm"])), protect_ms=2_000)


def test_words_of_a_caller_who_outlasts_the_protection_interrupt_at_its_end() -> None:
    turns = protected()
    assert turns.speech_started(11.0) == []
    assert turns.partial(11.5, "stop it") == []
    assert turns.deadline_s() == 12.0
    assert turns.expire(12.0) == [Commit(Reason.WORDS)]


def test_a_listeners_noise_that_may_go_on_only_pauses_at_the_end_of_the_protection() -> None:
    turns = protected()
    turns.speech_started(11.0)
    turns.partial(11.5, "mm")
    assert turns.expire(12.0) == [Pause()]
    assert turns.agent is Activity.SPEAKING


def test_a_service_without_events_is_protected_against_too() -> None:
    turns = protected()
    assert turns.partial(11.0, "stop it") == []
    assert turns.expire(12.0) == [Commit(Reason.WORDS)]


def test_words_while_a_filler_is_protected_do_not_drop_the_answer_to_come() -> None:
    turns = Turns(Rules(echo_guard_ms=500))
    turns.began(9.0)
    assert turns.playing(10.0, filler=True) == []
    assert turns.speech_started(10.2) == []
    assert turns.partial(10.3, "stop") == []
    assert turns.deadline_s() == 10.5
    assert turns.expire(10.5) == [Pause()]
    assert turns.agent is Activity.THINKING


def test_words_said_into_a_protected_reply_that_became_uninterruptible_are_kept() -> None:
    turns = speaking(protect_ms=2_000)
    turns.speech_started(11.0)
    assert turns.transcript(11.5, "two pizzas") == []
    turns.playing(11.8, interruptible=False)
    assert turns.expire(12.0) == []
    assert turns.finished(13.0) == [Answer("two pizzas")]
