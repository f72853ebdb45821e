"""The measure of the recogniser: it must forgive ways of writing, and nothing else."""

from __future__ import annotations

import pytest

from tests.support.recognition import word_error_rate


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Your appointment is on March 3rd at 3:45 p.m.", "your appointment is on March 3 at 3.45 PM"),
        ("Your order number is 4 7 2 9 1 5.", "Your order number is 472915."),
        ("It is 128 dollars and 50 cents.", "It's $128.50."),
        ("one hundred and twenty-eight people", "128 people"),
        ("Press 1 for sales.", "press one for sales"),
        ("The tower is open from ten to four.", "The tower is open from 10-4."),
        ("It is 4 7 2 9 1 5.", "It is 47-29-15."),
    ],
)
def test_ways_of_writing_are_the_same(said: str, heard: str) -> None:
    assert word_error_rate([said], [heard]) == 0


@pytest.mark.parametrize(
    ("said", "heard", "rate"),
    [
        ("The train leaves at 10:15.", "The train leaves at 10:50.", 1 / 5),
        ("Your order number is 4 7 2 9 1 5.", "Your order number is 4 7 2 9 5.", 1 / 5),
        ("Thank you, Margaret.", "Thank you.", 1 / 3),
        ("Thank you.", "Thank you very much.", 1),
    ],
)
def test_other_words_are_counted(said: str, heard: str, rate: float) -> None:
    assert word_error_rate([said], [heard]) == pytest.approx(rate)
