"""What the caller has said so far: when it is waited for, and that no word is carried into the next turn."""

from __future__ import annotations

import math

import pytest

from bridge.turns.actions import Answer, Prepare
from bridge.turns.patience import SPEECH_LIMIT_S, UNKNOWN_LIMIT_S, Patience
from bridge.turns.question import NEAR_END_S, Question
from bridge.turns.rules import Rules


@pytest.fixture
def question() -> Question:
    return Question(Rules(early_answers=True), Patience())


def test_nobody_has_said_anything_at_first_and_after_an_answer(question: Question) -> None:
    assert not question
    question.words = "two"
    question.awaited = True
    assert question
    assert question.answer("two pizzas") == ("two pizzas", [Answer("two pizzas")])
    assert not question
    assert question.due_s == math.inf


def test_the_first_words_of_a_caller_who_makes_no_sound_begin_an_answer(question: Question) -> None:
    question.words = "two pizzas"
    assert question.grows(1.0, is_new=True, speaking=False) == [Prepare("two pizzas")]


def test_what_was_said_before_begins_no_answer_while_there_are_no_new_words(question: Question) -> None:
    question.kept.add("sales")
    assert question.maybe_over() == []
    question.words = "please"
    assert question.maybe_over() == [Prepare("sales please")]


def test_a_sound_without_words_is_waited_for_longer_than_one_whose_words_are_still(question: Question) -> None:
    question.await_final(1.0, speaking=True)
    assert question.due_s == 1.0 + SPEECH_LIMIT_S
    question.words = "two"
    question.await_final(1.0, speaking=True)
    assert question.due_s == 1.0 + UNKNOWN_LIMIT_S


def test_a_noise_shortly_before_the_end_of_a_reply_is_answered_once(question: Question) -> None:
    question.noise(5.0, "okay")
    question.reply_over(5.0 + NEAR_END_S, cut=False)
    question.reply_over(9.0, cut=False)
    assert question.kept.before("") == "okay", "nothing was said into the next reply"


def test_a_reply_into_which_nothing_was_said_leaves_nothing_to_answer(question: Question) -> None:
    question.reply_over(1.0, cut=False)
    assert not question
