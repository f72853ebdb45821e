"""When a caller's turn has ended, by the words and their sound."""

from __future__ import annotations

import pytest

from bridge.turns.end_of_turn import EndOfTurn, ExpectedDigits, count_digits, goes_on
from bridge.turns.words import words

RULES = EndOfTurn(silence_ms=480, quick_ms=224, patience_ms=1_000)


@pytest.mark.parametrize(
    "text",
    [
        "I would like to book a table for",
        "I'm calling because my",
        "Can you tell me",
        "So, um,",
        "And",
        "My number is four, seven",
        "My number is 0770",
        "My number is 077 0.",
        "When I called yesterday.",
        "Hello, good morning,",
        "I live in fourteen.",
        "The name is B A K",
        "It is spelled B. A.",
        "I want to speak to Mr.",
    ],
)
def test_a_sentence_that_is_not_over_is_waited_for(text: str) -> None:
    assert goes_on(text)
    assert RULES.wait_ms(text, 0.99) == 1_000


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "A pepperoni pizza, please.",
        "At 3:45 p.m.",
        "When will my order arrive?",
        "When I called yesterday, nobody answered.",
        "At 3:45",
        "It was $2,450.",
        "For four people at eight.",
        "No, thank you.",
        "I would like vitamin B.",
        "Mm-hmm.",
    ],
)
def test_a_sentence_that_is_over_is_answered_quickly(text: str) -> None:
    assert not goes_on(text)
    assert RULES.wait_ms(text, 0.99) == 224
    assert RULES.wait_ms(text, 0.2) == 1_000, "its sound says that more will come"


def test_without_words_a_model_or_rules_for_the_language_silence_decides() -> None:
    assert RULES.wait_ms("", 0.99) == 480
    assert RULES.wait_ms("I would like a", None) == 480
    assert EndOfTurn(language="de").wait_ms("Ich möchte einen", 0.1) == 480
    assert RULES.longest_ms(has_model=False) == EndOfTurn(language="de").longest_ms(has_model=True) == 480
    assert RULES.longest_ms(has_model=True) == 1_000


def test_a_number_that_was_asked_for_may_be_told_in_groups() -> None:
    rules = EndOfTurn(digits=ExpectedDigits(length=11, pause_ms=2_000))
    assert rules.wait_ms("0770", 0.99) == 2_000
    assert rules.wait_ms("oh seven seven oh, 0900", None) == 2_000
    assert rules.wait_ms("oh seven seven oh, 0900 123", None) == rules.quick_ms
    assert rules.longest_ms(has_model=False) == 2_000


def test_a_number_of_any_length_ends_with_a_word_or_a_long_pause() -> None:
    rules = EndOfTurn(digits=ExpectedDigits(terminator="Hash", pause_ms=2_000))
    assert rules.wait_ms("four seven two", 0.99) == 2_000
    assert rules.wait_ms("four seven two hash", None) == rules.quick_ms
    assert rules.wait_ms("I do not know it.", 0.99) == rules.silence_ms


@pytest.mark.parametrize(
    ("text", "digits"), [("double two, 34", 4), ("triple oh one", 4), ("my number is 5", 1), ("no idea", 0)]
)
def test_digits_are_counted(text: str, digits: int) -> None:
    assert count_digits(words(text)) == digits
