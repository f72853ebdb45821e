"""The agent's own words, heard back: an echo is known by them, and a caller who repeats one of them is not."""

from __future__ import annotations

import pytest

from bridge.turns.echo_words import is_echo
from bridge.turns.words import words
from tests.support.processor_time import least_s

SAID = words("Would you like to come on Monday or on Tuesday, at half past seven?")


@pytest.mark.parametrize(
    "heard",
    [
        "Would you like to come on Monday",
        "like to come on Monday or Tuesday",
        "would you like to come or Monday",  # one word misheard
        "half past seven",
        "you light to come on Monday",
    ],
)
def test_an_echo(heard: str) -> None:
    assert is_echo(words(heard), SAID)


@pytest.mark.parametrize(
    "heard",
    [
        "Monday",
        "yes",
        "wait, stop",
        "can I bring my dog?",
        "Tuesday would be better for me",
        "would you like to come on Monday wait stop",  # a barge-in that follows its echo
        "",
    ],
)
def test_the_caller(heard: str) -> None:
    assert not is_echo(words(heard), SAID)


def test_nothing_said_has_no_echo() -> None:
    assert not is_echo(words("good morning to you"), [])


def test_long_texts_take_no_time() -> None:
    heard, said = ["a b", "a"] * 2_500, ["a", "b"] * 2_500
    assert least_s(lambda: (is_echo(heard, said), is_echo(heard[:100], said))) < 0.005
