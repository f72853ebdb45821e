"""An answer is begun as soon as the caller may be done, and heard only if the caller was."""

from __future__ import annotations

import pytest

from bridge.turns.actions import Action, Answer, Discard, Prepare, PromptCaller
from bridge.turns.early import MOST_TRIES, EarlyAnswer
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns

EARLY = Rules(early_answers=True)


def saying(words: str, rules: Rules = EARLY) -> Turns:
    """Returns turns in which the caller began at 1 s and has said so much by 2 s."""
    turns = Turns(rules)
    turns.speech_started(1.0, 900)
    turns.partial(2.0, words)
    return turns


def test_a_short_silence_prepares_and_the_same_words_confirm() -> None:
    turns = saying("two pizzas")
    assert turns.speech_paused() == [Prepare("two pizzas")]
    assert turns.speech_stopped(2.5) == [], "it is begun once"
    assert turns.partial(2.6, "two pizzas") == []
    assert turns.transcript(2.7, "Two pizzas.") == [Answer("Two pizzas.", prepared=True)]


def test_other_words_drop_it_and_are_answered() -> None:
    turns = saying("two pizzas")
    turns.speech_paused()
    turns.speech_stopped(2.5)
    assert turns.transcript(2.7, "to Pisa") == [Discard(), Answer("to Pisa")]


def test_a_caller_who_goes_on_drops_it_at_the_next_words() -> None:
    turns = saying("two pizzas")
    turns.speech_paused()
    turns.speech_resumed()
    assert turns.partial(2.6, "two pizzas and") == [Discard()]
    assert turns.partial(2.9, "two pizzas and a cola") == [], "nothing is begun in the middle of speech"
    assert turns.speech_paused() == [Prepare("two pizzas and a cola")]
    assert turns.transcript(3.5, "two pizzas and a cola") == [Answer("two pizzas and a cola", prepared=True)]


def test_words_that_come_in_the_silence_prepare() -> None:
    turns = Turns(EARLY)
    turns.speech_started(1.0, 900)
    assert turns.speech_paused() == []
    assert turns.partial(2.2, "two") == [Prepare("two")]
    assert turns.partial(2.3, "two pizzas") == [Discard(), Prepare("two pizzas")]


def test_a_recogniser_that_tells_the_end_before_its_final_words_prepares() -> None:
    turns = saying("two pizzas")
    assert turns.speech_stopped(2.5) == [Prepare("two pizzas")]


def test_words_kept_from_before_are_part_of_it() -> None:
    turns = Turns(EARLY)
    turns.began(0.0, interruptible=False)
    turns.playing(1.0, interruptible=False)
    turns.transcript(1.5, "sales")
    turns.speech_started(1.9, 1_800)
    turns.finished(2.0)
    turns.partial(2.2, "please")
    assert turns.speech_paused() == [Prepare("sales please")]
    assert turns.transcript(2.7, "please") == [Answer("sales please", prepared=True)]


@pytest.mark.parametrize(("event", "actions"), [("empty", [Discard()]), ("digit", [Discard()])])
def test_what_ends_the_turn_otherwise_drops_it(event: str, actions: list[Action]) -> None:
    turns = saying("two pizzas")
    turns.speech_paused()
    turns.speech_stopped(2.5)
    assert (turns.digit(2.6) if event == "digit" else turns.transcript(2.6, "")) == actions
    assert turns.transcript(3.0, "two pizzas") == [Answer("two pizzas")]


def test_words_without_a_final_transcript_confirm_it_too() -> None:
    turns = saying("two pizzas")
    turns.speech_paused()
    turns.speech_stopped(2.5)
    assert turns.expire(turns.deadline_s()) == [Answer("two pizzas", prepared=True)]


def test_a_reply_begun_by_others_forgets_it() -> None:
    turns = saying("two pizzas")
    turns.speech_paused()
    turns.began(2.2)  # by an announcement, which has dropped what was held
    turns.playing(2.3)
    turns.finished(4.0)
    assert turns.transcript(4.5, "two pizzas") == [Answer("two pizzas")]


def test_nothing_is_begun_early_while_the_agent_speaks_or_where_it_is_off() -> None:
    turns = Turns(EARLY)
    turns.began(0.0)
    turns.playing(1.0)
    turns.speech_started(2.0, 1_900)
    assert turns.speech_paused() == []
    off = saying("two pizzas", Rules())
    assert off.speech_paused() == []
    assert off.speech_stopped(2.5) == []


def test_a_prompt_drops_it() -> None:
    early = EarlyAnswer(enabled=True)
    assert early.maybe_over("two") == [Prepare("two")]
    assert [*early.drop(), PromptCaller()] == [Discard(), PromptCaller()]
    assert early.drop() == []


def test_a_caller_who_thinks_aloud_costs_only_so_many_answers() -> None:
    early = EarlyAnswer(enabled=True)
    prepared = 0
    for number in range(10):
        actions = early.maybe_over(" ".join(["well"] * (number + 1)))
        prepared += sum(isinstance(action, Prepare) for action in actions)
    assert prepared == MOST_TRIES
    assert early.take("well") == ([], False)
    assert early.maybe_over("next") == [Prepare("next")], "the next turn counts anew"


def test_it_is_kept_while_its_words_stay_and_given_away_once() -> None:
    early = EarlyAnswer(enabled=True)
    assert early.goes_on("two") == [], "there is none"
    early.maybe_over("two pizzas")
    assert early.goes_on("Two pizzas.") == []
    assert early.take("Two pizzas!") == ([], True)
    assert early.drop() == []


def test_each_turn_has_all_its_tries() -> None:
    early = EarlyAnswer(enabled=True)
    early.maybe_over("two")
    early.take("two")
    tries = [early.maybe_over(str(number)) for number in range(MOST_TRIES + 1)]
    assert [Prepare(str(number)) in actions for number, actions in enumerate(tries)] == [True] * MOST_TRIES + [False]
