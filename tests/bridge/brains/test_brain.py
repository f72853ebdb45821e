"""A call's variables are filled into texts by name alone, and their values stay as they are."""

from __future__ import annotations

from random import Random

import pytest

from bridge.brains.brain import fill


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {name}, from {from}.", "Hello Ann, from 201."),
        ("Hello {nobody}.", "Hello ."),
        ('{"name": "{name}"}', '{"name": "Ann"}'),
        ("{} {0} {name!r} {name:>20} {name.upper} { name }", "{} {0} {name!r} {name:>20} {name.upper} { name }"),
    ],
)
def test_names_are_filled_in_and_nothing_else(text: str, expected: str) -> None:
    assert fill(text, {"name": "Ann", "from": "201"}) == expected


@pytest.mark.parametrize("name", ["{from:>2000000000}", "{from}", "{", "}}", "{0.__class__}", "{name}"])
def test_a_caller_s_name_with_braces_comes_out_unchanged(name: str) -> None:
    assert fill("Hello {name}.", {"name": name, "from": "201"}) == f"Hello {name}."


def test_of_a_hundred_thousand_names_each_comes_out_unchanged() -> None:
    random = Random(3)
    for _ in range(100_000):
        name = "".join(random.choices("{}:!.[]<>^0129 nameфs%$\\", k=random.randint(0, 12)))
        assert fill("I am {name}", {"name": name}) == f"I am {name}"
