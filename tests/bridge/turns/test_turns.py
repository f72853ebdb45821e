"""Who has the floor: every transition, and random orders of events."""

from __future__ import annotations

import math
import time

import pytest

from bridge.turns.actions import Answer, Commit, Pause, PromptCaller, Reason, Resume
from bridge.turns.present_reply import Activity
from bridge.turns.rules import Rules
from bridge.turns.turns import SPEECH_LIMIT_S, Turns
from bridge.turns.words import Backchannels

FINAL_TIMEOUT_S = Rules().final_timeout_ms / 1000


def speaking(rules: Rules | None = None, *, interruptible: bool = True, protect_ms: int = 0) -> Turns:
    """Returns turns in which the agent began to be heard at 10 s."""
    turns = Turns(rules or Rules())
    assert turns.began(9.0, audio_ms=9_000, interruptible=interruptible) == []
    assert turns.playing(10.0, interruptible=interruptible, protect_ms=protect_ms) == []
    return turns


# The caller has the floor -------------------------------------------------------------------------------------------


def test_what_is_said_to_a_silent_agent_is_answered() -> None:
    turns = Turns(Rules())
    assert turns.speech_started(1.0, 900) == []
    assert turns.partial(1.5, "two") == []
    assert turns.speech_stopped(2.0) == []
    assert turns.transcript(2.2, "two pizzas") == [Answer("two pizzas")]
    assert turns.deadline_s() == math.inf


def test_an_empty_transcript_is_not_answered() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0)
    turns.speech_stopped(1.2)
    assert turns.transcript(1.4, "") == []


def test_a_backchannel_answers_a_silent_agent() -> None:
    assert Turns(Rules(backchannels=Backchannels(["yeah"]))).transcript(1.0, "yeah") == [Answer("yeah")]


def test_words_without_a_final_transcript_are_answered_after_a_while() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0)
    turns.partial(1.5, "two pizzas")
    turns.speech_stopped(2.0)
    assert turns.deadline_s() == 2.0 + FINAL_TIMEOUT_S
    assert turns.expire(2.0 + FINAL_TIMEOUT_S) == [Answer("two pizzas")]


def overdue() -> Turns:
    """Returns turns that answered "two pizzas" without waiting any longer for its transcript."""
    turns = Turns(Rules())
    turns.speech_started(1.0)
    turns.partial(1.5, "two pizzas")
    turns.speech_stopped(2.0)
    assert turns.expire(2.0 + FINAL_TIMEOUT_S) == [Answer("two pizzas")]
    turns.began(5.0)
    return turns


def test_a_transcript_that_comes_late_does_not_interrupt_its_own_answer() -> None:
    turns = overdue()
    turns.playing(5.5)
    assert turns.transcript(6.0, "Two pizzas, please.") == []
    assert turns.transcript(7.0, "Two pizzas, please.") == [Commit(Reason.WORDS), Answer("Two pizzas, please.")]


def test_the_same_words_said_again_after_their_answer_are_answered_again() -> None:
    turns = overdue()
    turns.playing(5.5)
    turns.finished(8.0)
    turns.speech_started(9.0, 8_900)
    turns.speech_stopped(9.5)
    assert turns.transcript(9.8, "Two pizzas.") == [Answer("Two pizzas.")]


def test_a_late_transcript_that_says_something_else_restarts_the_thinking() -> None:
    assert overdue().transcript(5.1, "Two pizzas.") == []
    assert overdue().transcript(5.1, "Two peas") == [Commit(Reason.RESTART), Answer("Two peas")]
    assert overdue().transcript(5.1, "Stop!") == [Commit(Reason.RESTART), Answer("Stop!")]


# Pause, resume, commit ----------------------------------------------------------------------------------------------


def test_a_sound_pauses_and_words_commit() -> None:
    turns = speaking()
    assert turns.speech_started(11.0, 10_900) == [Pause()]
    assert turns.paused
    assert turns.partial(11.3, "wait") == [Commit(Reason.WORDS)]
    assert turns.agent is Activity.IDLE
    assert not turns.paused
    assert turns.partial(11.5, "wait a moment") == []
    assert turns.speech_stopped(11.9) == []
    assert turns.transcript(12.0, "Wait a moment.") == [Answer("Wait a moment.")]


def test_a_final_transcript_commits_and_is_answered() -> None:
    turns = speaking()
    turns.speech_started(11.0)
    turns.speech_stopped(11.5)
    assert turns.transcript(11.9, "stop") == [Commit(Reason.WORDS), Answer("stop")]


def test_a_service_without_speech_events_commits_on_its_first_words() -> None:
    turns = speaking()
    assert turns.partial(11.0, "stop") == [Commit(Reason.WORDS)]
    assert turns.transcript(11.5, "stop it") == [Answer("stop it")]


def test_a_cough_resumes_after_the_timeout() -> None:
    turns = speaking(Rules(false_interruption_timeout_ms=800))
    assert turns.speech_started(11.0) == [Pause()]
    assert turns.speech_stopped(11.2) == []
    assert turns.deadline_s() == pytest.approx(12.0)
    assert turns.expire(11.9) == []
    assert turns.expire(12.0) == [Resume()]
    assert turns.agent is Activity.SPEAKING


def test_an_empty_transcript_resumes_at_once() -> None:
    turns = speaking()
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    assert turns.transcript(11.4, "") == [Resume()]


def test_an_empty_transcript_does_not_resume_over_the_next_sound() -> None:
    turns = speaking()
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    assert turns.speech_started(11.3) == []
    assert turns.transcript(11.4, "") == []
    assert turns.paused


def test_sound_that_never_ends_resumes_at_the_limit() -> None:
    turns = answered(words_after_s=0)  # by a recogniser that gives words only when the caller has stopped
    turns.speech_started(11.0)
    assert turns.deadline_s() == 11.0 + SPEECH_LIMIT_S
    assert turns.expire(11.0 + SPEECH_LIMIT_S) == [Resume()]
    assert not turns.caller_speaking


def answered(words_after_s: float = 0.4) -> Turns:
    """Returns turns in which the agent answers a caller whose words came so long into the sound, or after it if 0."""
    turns = Turns(Rules())
    turns.speech_started(1.0)
    if words_after_s:
        turns.partial(1.0 + words_after_s, "two")
    turns.speech_stopped(9.0)
    assert turns.transcript(9.2, "two pizzas") == [Answer("two pizzas")]
    turns.began(9.3)
    turns.playing(10.0)
    return turns


@pytest.mark.parametrize(("words_after_s", "held_s"), [(0.4, 1.0), (0.8, 1.6), (6.0, SPEECH_LIMIT_S)])
def test_an_old_sound_told_again_holds_the_agent_no_longer_than_words_would_take(
    words_after_s: float, held_s: float
) -> None:
    turns = answered(words_after_s)
    assert turns.speech_started(11.0) == [Pause()]
    assert turns.deadline_s() == pytest.approx(11.0 + held_s)
    assert turns.expire(turns.deadline_s()) == [Resume()]
    assert turns.partial(25.0, "stop") == [Commit(Reason.WORDS)]


def test_a_sound_holds_the_agent_while_there_may_be_words_in_it() -> None:
    limit_s = 11.0 + SPEECH_LIMIT_S
    untold = answered(words_after_s=0)
    untold.speech_started(11.0)
    assert untold.deadline_s() == limit_s, "a service that gives words only when the caller has stopped"
    slow = answered(words_after_s=6.0)
    slow.speech_started(11.0, 10_900)
    assert slow.deadline_s() == limit_s, "a recogniser that takes its time"


def test_words_after_a_resume_still_commit() -> None:
    turns = speaking(Rules(false_interruption_timeout_ms=500))
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    assert turns.expire(11.7) == [Resume()]
    assert turns.transcript(12.5, "stop") == [Commit(Reason.WORDS), Answer("stop")]


def test_too_few_words_resume() -> None:
    turns = speaking(Rules(min_interrupt_words=2))
    turns.speech_started(11.0)
    assert turns.partial(11.2, "well") == []
    turns.speech_stopped(11.3)
    assert turns.transcript(11.5, "well") == [Resume()]


def test_zero_words_commit_on_the_sound() -> None:
    turns = speaking(Rules(min_interrupt_words=0))
    assert turns.speech_started(11.0) == [Commit(Reason.SPEECH)]
    turns.speech_stopped(11.2)
    assert turns.transcript(11.5, "stop") == [Answer("stop")]


def test_a_cough_that_committed_prompts_the_caller() -> None:
    turns = speaking(Rules(min_interrupt_words=0))
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    assert turns.expire(11.2 + FINAL_TIMEOUT_S) == [PromptCaller()]
    assert turns.deadline_s() == math.inf


def test_a_cough_that_committed_and_is_known_to_be_none_prompts_the_caller_at_once() -> None:
    turns = speaking(Rules(min_interrupt_words=0))
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    assert turns.transcript(11.5, "") == [PromptCaller()]
    assert turns.transcript(11.6, "") == []
    assert turns.deadline_s() == math.inf


def test_an_empty_transcript_after_words_committed_answers_the_words() -> None:
    turns = speaking()
    turns.speech_started(11.0)
    turns.partial(11.2, "stop")
    turns.speech_stopped(11.4)
    assert turns.transcript(11.6, "") == [Answer("stop")]


# Back-channels ------------------------------------------------------------------------------------------------------

NOISES = Rules(backchannels=Backchannels(["mm hm", "yeah"]))


def test_a_backchannel_resumes_when_it_stops() -> None:
    turns = speaking(NOISES)
    assert turns.speech_started(11.0) == [Pause()]
    assert turns.partial(11.2, "yeah") == []
    assert turns.speech_stopped(11.4) == [Resume()]
    assert turns.transcript(11.6, "Yeah.") == []


def test_a_backchannel_shortly_before_the_end_of_a_reply_answers_it() -> None:
    turns = speaking(NOISES)
    turns.speech_started(11.0)
    turns.speech_stopped(11.4)
    assert turns.transcript(11.6, "Yeah.") == [Resume()]
    assert turns.finished(12.5) == [Answer("Yeah.")], "the agent has asked, and nobody would say more"


def test_a_backchannel_long_before_the_end_of_a_reply_says_nothing() -> None:
    turns = speaking(NOISES)
    turns.speech_started(11.0)
    turns.speech_stopped(11.4)
    turns.transcript(11.6, "Yeah.")
    assert turns.finished(12.7) == []
    assert turns.deadline_s() == math.inf


def test_a_backchannel_before_a_reply_is_cut_from_outside_is_not_answered() -> None:
    turns = speaking(NOISES)
    turns.speech_started(11.0)
    turns.speech_stopped(11.4)
    turns.transcript(11.6, "Yeah.")
    assert turns.finished(11.8, cut=True) == [], "whoever silenced the agent wants it silent"


def test_a_backchannel_before_an_interruption_is_not_said_again() -> None:
    turns = speaking(NOISES)
    turns.speech_started(11.0)
    turns.speech_stopped(11.2)
    turns.transcript(11.3, "Yeah.")
    turns.speech_started(11.4)
    turns.speech_stopped(11.6)
    assert turns.transcript(11.7, "Stop.") == [Commit(Reason.WORDS), Answer("Stop.")]
    turns.began(11.8)
    assert turns.finished(11.9) == []


def test_an_unfinished_backchannel_waits() -> None:
    turns = speaking(NOISES)
    turns.speech_started(11.0)
    assert turns.partial(11.2, "mm") == []
    assert turns.partial(11.3, "mm no") == [Commit(Reason.WORDS)]


def test_a_backchannel_restarts_a_reply_that_is_not_heard_yet() -> None:
    turns = Turns(NOISES)
    turns.began(1.0)
    assert turns.transcript(1.5, "yeah") == [Commit(Reason.RESTART), Answer("yeah")]


# Thinking -----------------------------------------------------------------------------------------------------------


def test_a_sound_while_thinking_holds_the_reply_and_silence_lets_it_go() -> None:
    turns = Turns(Rules(false_interruption_timeout_ms=500))
    turns.began(1.0)
    assert turns.speech_started(1.1) == [Pause()]
    turns.speech_stopped(1.3)
    assert turns.expire(1.8) == [Resume()]
    assert turns.agent is Activity.THINKING


def test_zero_words_do_not_drop_a_reply_that_is_not_heard_yet() -> None:
    turns = Turns(Rules(min_interrupt_words=0))
    turns.began(1.0)
    assert turns.speech_started(1.1) == [Pause()]


def test_more_words_restart_the_thinking() -> None:
    turns = Turns(Rules())
    assert turns.transcript(0.9, "I would like") == [Answer("I would like")]
    turns.began(1.0)
    turns.speech_started(1.1)
    turns.speech_stopped(1.8)
    assert turns.transcript(2.0, "a table") == [Commit(Reason.RESTART), Answer("a table")]


def test_a_reply_asked_for_while_the_caller_speaks_waits() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0)
    assert turns.began(1.1) == [Pause()]


# DTMF, stale events, prompts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("interruptible", [True, False])
def test_a_digit_always_commits(interruptible: bool) -> None:
    turns = speaking(interruptible=interruptible, protect_ms=5000)
    assert turns.digit(10.5) == [Commit(Reason.DTMF)]
    assert turns.deadline_s() == math.inf


def test_a_digit_to_a_silent_agent_drops_nothing() -> None:
    assert Turns(Rules()).digit(1.0) == []


def test_events_older_than_the_reply_are_ignored() -> None:
    turns = speaking()
    assert turns.speech_started(11.0, 8_999) == []
    assert turns.partial(11.0, "stop", 8_999) == []
    assert turns.transcript(11.0, "stop", 8_999) == []
    assert turns.speech_started(11.0, 9_000) == [Pause()]


def test_words_of_an_older_sound_that_goes_on_are_not_lost() -> None:
    turns = speaking()
    assert turns.speech_started(11.0, 8_900) == []
    assert turns.transcript(11.5, "and a drink") == [Commit(Reason.WORDS), Answer("and a drink")]


def test_silence_of_both_prompts_once() -> None:
    turns = speaking(Rules(no_input_timeout_ms=5000))
    assert turns.deadline_s() == math.inf
    turns.finished(12.0)
    assert turns.deadline_s() == 17.0
    assert turns.expire(17.0) == [PromptCaller()]
    assert turns.deadline_s() == math.inf


def test_a_sound_puts_the_prompt_off() -> None:
    turns = speaking(Rules(no_input_timeout_ms=5000))
    turns.finished(12.0)
    turns.speech_started(16.0)
    assert turns.expire(17.0) == []
    turns.speech_stopped(17.5)
    assert turns.deadline_s() == 22.5


# Long texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["a", "yes no", "嗯", "x" * 40])
def test_a_late_transcript_of_ten_thousand_characters_holds_up_no_call(word: str) -> None:
    """A late transcript is compared with the words answered without it; that once took over 100 s."""
    text = f"{word} " * (10_000 // (len(word) + 1))
    took_s = []
    for _ in range(5):
        turns = Turns(Rules())
        turns.speech_started(1.0)
        turns.partial(1.5, text)
        turns.speech_stopped(2.0)
        assert turns.expire(2.0 + FINAL_TIMEOUT_S) == [Answer(text)]
        begin_s = time.thread_time()
        assert turns.transcript(6.0, text[1:]) == []
        took_s.append(time.thread_time() - begin_s)
    assert min(took_s) < 0.005


# A caller who had not ended -----------------------------------------------------------------------------------------


def answering(text: str) -> Turns:
    """Returns turns in which the answer to these words began to be heard at 10 s."""
    turns = Turns(Rules())
    assert turns.transcript(9.0, text) == [Answer(text)]
    turns.began(9.0, audio_ms=9_000)
    turns.playing(10.0)
    return turns


def test_whoever_goes_on_as_the_answer_begins_is_answered_for_both_halves() -> None:
    turns = answering("a table")
    assert turns.speech_started(10.2) == [Pause()]
    assert turns.partial(10.6, "on Sunday") == [Commit(Reason.WORDS)]
    turns.speech_stopped(11.0)
    assert turns.transcript(11.2, "on Sunday") == [Answer("a table on Sunday")]


def test_whoever_goes_on_without_a_word_that_is_known_in_the_end_is_answered_for_the_first_half() -> None:
    turns = answering("a table")
    turns.speech_started(10.2)
    turns.partial(10.6, "on")
    turns.speech_stopped(11.0)
    assert turns.transcript(11.2, "") == [Answer("a table on")]


def test_whoever_has_heard_a_word_and_speaks_again_interrupts() -> None:
    turns = answering("a table")
    turns.speech_started(10.2)
    turns.speech_stopped(10.25)
    assert turns.transcript(10.3, "") == [Resume()]
    turns.speech_started(10.5)
    assert turns.transcript(11.0, "stop") == [Commit(Reason.WORDS), Answer("stop")]
