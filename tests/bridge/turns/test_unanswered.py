"""No caller is left without an answer: in babble, with a slow model, without words, or with words nobody understood."""

from __future__ import annotations

import math

import pytest

from bridge.turns.actions import Action, Answer, AskAgain, Commit, Pause, PromptCaller, Reason, Resume
from bridge.turns.present_reply import Activity
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns
from bridge.turns.words import Backchannels

PROMPTING = Rules(no_input_timeout_ms=8_000)


def greeting() -> Turns:
    """Returns turns in which the greeting began to be heard at 1 s."""
    turns = Turns(Rules())
    turns.began(0.0)
    turns.playing(1.0)
    return turns


def run(turns: Turns, until_s: float) -> list[tuple[float, Action]]:
    """Returns what is due until then, and when; each answer begins at once."""
    done = []
    while (due_s := turns.deadline_s()) <= until_s:
        for action in turns.expire(due_s):
            done.append((due_s, action))
            if isinstance(action, Answer | PromptCaller):
                turns.began(due_s)
    return done


# A noise that does not end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio_start_ms", [None, 1_900])
def test_babble_holds_the_greeting_for_three_seconds_at_most(audio_start_ms: int | None) -> None:
    turns = greeting()
    assert turns.speech_started(2.0, audio_start_ms) == [Pause()]
    assert run(turns, 5.0) == [(5.0, Resume())]


def test_a_sound_is_given_as_long_as_words_have_taken_even_if_it_is_known_when_it_began() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0, 900)
    turns.partial(1.4, "two")
    turns.speech_stopped(2.0)
    turns.transcript(2.2, "two pizzas")
    turns.began(2.3)
    turns.playing(3.0)
    assert turns.speech_started(4.0, 3_900) == [Pause()]
    assert turns.deadline_s() == pytest.approx(5.0)


def test_words_in_a_sound_that_does_not_end_are_answered_once_they_are_over() -> None:
    turns = greeting()
    turns.speech_started(2.0, 1_900)
    run(turns, 8.0)
    turns.finished(8.0)
    for look in range(40):  # the recogniser looks again and again, and hears no more than this
        at_s = 9.0 + 0.6 * look
        if due := run(turns, at_s):
            assert due == [(pytest.approx(12.0), Answer("two pizzas"))]
            break
        turns.partial(at_s, "two pizzas")
    else:
        raise AssertionError("never answered")


def test_words_of_which_a_recogniser_only_changes_its_mind_are_answered_too() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0, 900)
    for look in range(40):  # as Whisper does in babble at 6 dB
        at_s = 2.0 + 0.6 * look
        if due := run(turns, at_s):
            assert due == [(5.0, Answer("I would like to keep it to eat."))]
            break
        turns.partial(at_s, ["I would like to keep it to eat.", "I would like to keep it to me."][look % 2])
    else:
        raise AssertionError("never answered")


def test_a_recogniser_that_may_take_long_for_its_final_words_shows_sooner_that_there_are_no_more() -> None:
    turns = Turns(Rules(final_timeout_ms=15_000))  # as the embedded one
    turns.began(0.0)
    turns.speech_started(0.1, 0)
    assert run(turns, 5.0) == [(pytest.approx(3.1), Resume())]
    turns.finished(5.0)
    for look in range(6):
        turns.partial(9.0 + 0.6 * look, "two pizzas")
    assert run(turns, 30.0) == [(pytest.approx(12.0), Answer("two pizzas"))]


def test_words_that_go_on_are_not_cut_off() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0, 900)
    said = "I"
    for word in range(20):
        said += f" word{word}"
        turns.partial(2.0 + word * 2.5, said)
        assert run(turns, 2.0 + word * 2.5 + 2.4) == []


def test_the_answer_is_not_cut_by_the_words_that_it_answers() -> None:
    turns = Turns(Rules())
    turns.speech_started(1.0, 900)
    turns.partial(2.0, "two pizzas")
    assert run(turns, 5.0) == [(5.0, Answer("two pizzas"))]
    turns.playing(5.5)
    assert turns.partial(6.0, "two pizzas") == []
    assert turns.partial(6.5, "Two pizzas") == []
    assert turns.partial(8.0, "two pizzas and a cola") == [Commit(Reason.WORDS)]
    assert run(turns, 20.0)[0][1] == Answer("and a cola"), "only what is new is answered"


# A final transcript that comes late ---------------------------------------------------------------------------------


def overdue(words: str) -> Turns:
    turns = Turns(Rules())
    turns.speech_started(1.0, 900)
    turns.partial(1.5, words)
    turns.speech_stopped(2.0)
    assert turns.expire(turns.deadline_s()) == [Answer(words)]
    turns.began(5.0)
    return turns


def test_a_late_transcript_with_more_words_is_not_lost() -> None:
    turns = overdue("I would like two pizzas")
    turns.playing(5.5)
    late = turns.transcript(6.0, "I would like two pizzas with extra cheese.")
    assert late == [Commit(Reason.WORDS), Answer("with extra cheese.")]


def test_a_late_transcript_with_more_words_adds_them_while_the_answer_is_thought_of() -> None:
    turns = overdue("I would like two pizzas")
    late = turns.transcript(5.1, "I would like two pizzas, and a cola.")
    assert late == [Commit(Reason.RESTART), Answer("and a cola.")]


def test_a_late_transcript_with_more_words_is_answered_when_its_answer_is_over() -> None:
    turns = overdue("I would like two pizzas")
    turns.playing(5.5)
    turns.finished(6.0)
    assert turns.transcript(6.5, "I'd like two pizzas with extra cheese.") == [Answer("with extra cheese.")]


# A slow model and an impatient caller -------------------------------------------------------------------------------


def thinking(rules: Rules | None = None, asked: str = "a table for two") -> Turns:
    turns = Turns(rules or Rules())
    assert turns.transcript(1.0, asked) == [Answer(asked)]
    turns.began(1.0)
    return turns


@pytest.mark.parametrize("nudge", ["hello?", "Hello? Are you there?", "Hallo, sind Sie noch da?", "allô ?", "喂"])
def test_a_nudge_does_not_drop_the_answer_to_come(nudge: str) -> None:
    turns = thinking()
    assert turns.speech_started(1.8, 1_700) == [Pause()]
    turns.speech_stopped(2.3)
    assert turns.transcript(2.5, nudge) == [Resume()]
    assert turns.agent is Activity.THINKING


def test_a_listeners_noise_does_not_drop_the_answer_to_come_unless_that_answers_noises_too() -> None:
    noises = Rules(backchannels=Backchannels(["yeah", "right", "hm"]))
    assert thinking(noises).transcript(2.0, "yeah") == []
    left_or_right = thinking(noises, asked="Hm")
    assert left_or_right.transcript(2.0, "Right.") == [Commit(Reason.RESTART), Answer("Right.")]


def test_a_hello_long_after_the_answer_began_interrupts_it() -> None:
    turns = thinking()
    turns.playing(2.0)
    assert turns.speech_started(3.5, 3_400) == [Pause()]
    turns.speech_stopped(3.9)
    assert turns.transcript(4.1, "hello?") == [Commit(Reason.WORDS), Answer("hello?")]


def test_a_hello_begun_as_the_answer_comes_lets_it_go_on_unless_more_follows() -> None:
    turns = thinking()
    turns.speech_started(1.9, 1_800)
    turns.playing(2.0)
    assert turns.partial(2.3, "hello") == []
    assert turns.partial(2.6, "hello, for three") == [Commit(Reason.WORDS)]


def test_a_nudge_with_words_restarts() -> None:
    assert thinking().transcript(2.0, "hello, for three") == [Commit(Reason.RESTART), Answer("hello, for three")]


def test_a_hello_to_a_silent_agent_is_answered() -> None:
    assert Turns(Rules()).transcript(1.0, "hello?") == [Answer("hello?")]


def test_a_nudge_during_the_filler_keeps_the_answer_and_words_restart_it() -> None:
    turns = thinking()
    assert turns.playing(3.0, filler=True) == []
    assert turns.speech_started(3.2, 3_100) == [Pause()]
    turns.speech_stopped(3.6)
    assert turns.transcript(3.8, "hello?") == [Resume()]
    assert turns.transcript(4.5, "for three") == [Commit(Reason.RESTART), Answer("for three")]


def test_the_fillers_echo_is_ignored() -> None:
    turns = thinking(Rules(echo_guard_ms=300))
    turns.playing(3.0, filler=True)
    assert turns.speech_started(3.1, 3_100) == []
    turns.speech_stopped(3.2)
    assert turns.expire(3.3) == []
    assert turns.speech_started(3.5, 3_500) == [Pause()]


# Nothing is said, or nothing is understood --------------------------------------------------------------------------


def silent(rules: Rules) -> Turns:
    """Returns turns in which the agent has fallen silent at 2 s."""
    turns = Turns(rules)
    turns.began(0.0)
    turns.playing(1.0)
    turns.finished(2.0)
    return turns


def test_a_sound_that_has_no_end_does_not_keep_the_caller_from_being_prompted() -> None:
    turns = silent(PROMPTING)
    turns.speech_started(3.0, 2_900)
    ((at_s, action),) = run(turns, 60.0)
    assert (at_s, action) == (33.0, PromptCaller()), "a caller may tell a story of half a minute"
    assert not turns.caller_speaking
    turns.playing(33.5)
    turns.finished(35.0)
    assert run(turns, 60.0) == [(43.0, PromptCaller())], "and again"


def test_a_sound_that_has_no_end_prompts_sooner_where_words_come_at_once() -> None:
    turns = silent(PROMPTING)
    turns.speech_started(3.0, 2_900)
    turns.partial(3.5, "two")
    turns.speech_stopped(4.0)
    turns.transcript(4.2, "two pizzas")
    turns.began(4.2)
    turns.playing(4.5)
    turns.finished(5.0)
    turns.speech_started(6.0, 5_900)
    assert run(turns, 60.0) == [(16.0, PromptCaller())]


def test_a_sound_that_outlasts_the_answer_does_not_keep_the_caller_from_being_prompted() -> None:
    turns = Turns(PROMPTING)
    turns.began(0.0, interruptible=False)
    turns.playing(1.0, interruptible=False)
    turns.speech_started(2.0, 1_900)
    turns.finished(3.0)
    assert run(turns, 60.0) == [(33.0, PromptCaller())]


UNCLEAR = Rules(no_input_timeout_ms=8_000, unclear_timeout_ms=1_500)


def test_speech_without_a_word_is_asked_for_again_after_a_while() -> None:
    turns = silent(UNCLEAR)
    turns.speech_started(3.0, 2_900)
    turns.speech_stopped(5.0)
    assert turns.transcript(5.4, "") == []
    assert run(turns, 6.8) == []
    assert turns.expire(6.9) == [AskAgain()]
    assert turns.deadline_s() == math.inf


def test_speech_of_which_nothing_is_ever_told_is_asked_for_again_too() -> None:
    turns = silent(UNCLEAR)
    turns.speech_started(3.0, 2_900)
    turns.speech_stopped(5.0)
    assert run(turns, 60.0) == [(8.0, AskAgain())]


def test_a_cough_is_not_asked_for_again() -> None:
    turns = silent(UNCLEAR)
    turns.speech_started(3.0, 2_900)
    turns.speech_stopped(3.8)
    turns.transcript(4.0, "")
    assert run(turns, 11.9) == []
    assert turns.expire(12.0) == [PromptCaller()]


def test_whoever_speaks_again_is_not_asked() -> None:
    turns = silent(UNCLEAR)
    turns.speech_started(3.0, 2_900)
    turns.speech_stopped(5.0)
    turns.transcript(5.4, "")
    turns.speech_started(6.0, 5_900)
    turns.speech_stopped(8.0)
    assert turns.transcript(8.2, "a table") == [Answer("a table")]
    turns.began(8.2)
    assert run(turns, 60.0) == []
