"""Words that were answered before their final transcript came: what it adds is heard, and nothing is answered twice."""

from __future__ import annotations

import pytest

from bridge.turns.overdue import OverdueWords


def answered(*texts: str) -> OverdueWords:
    overdue = OverdueWords()
    for text in texts:
        overdue.answered(text)
    return overdue


def test_all_that_was_answered_counts_and_not_only_the_last_of_it() -> None:
    overdue = answered("I would like", "two pizzas")
    assert overdue.settle("I would like two pizzas, and a cola", thinking=True) == "and a cola"


def test_what_is_settled_is_forgotten_and_the_next_words_are_noted() -> None:
    overdue = answered("two pizzas")
    assert overdue.settle("two pizzas", thinking=True) == ""
    assert not overdue
    assert overdue.settle("two pizzas", thinking=True) == "two pizzas"
    overdue.answered("a cola")
    assert overdue.rest("a cola please") == "please"


@pytest.mark.parametrize(
    ("text", "thinking", "worth_saying"),
    [
        ("I want pizza please", True, "please"),
        ("I want pizza please", False, ""),  # one word more interrupts no answer that is heard
        ("I want pizza with ham", False, "with ham"),
        ("I want pasta and salad", True, "I want pasta and salad"),  # the answer being thought of is to other words
        ("I want pasta and salad", False, "and salad"),
        ("Call me tomorrow", False, "Call me tomorrow"),
        ("Help!", False, "Help!"),  # other speech, however short
    ],
)
def test_a_late_transcript_says_what_it_adds(text: str, thinking: bool, worth_saying: str) -> None:
    assert answered("I want pizza").settle(text, thinking=thinking) == worth_saying


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("I would really like a very large pizza with ham", "with ham"),
        ("I would really like a very large pizza", ""),
        ("I would like large pizza with ham", "with ham"),
    ],
)
def test_a_recogniser_that_revises_the_length_of_its_words_adds_none_by_it(text: str, rest: str) -> None:
    assert answered("I would like a large pizza").rest(text) == rest


def test_of_a_word_that_is_said_twice_the_nearest_ends_what_was_answered() -> None:
    assert answered("no no").rest("No, no, thanks a lot") == "thanks a lot"
