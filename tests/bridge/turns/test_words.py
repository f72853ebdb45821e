"""Counting words and telling a listener's noises from something said."""

from __future__ import annotations

from random import Random

import pytest

from bridge.turns.words import BACKCHANNELS, MOST_WORDS, Backchannels, words
from tests.support.processor_time import least_s

MOST_S = 0.005
"""How much of the event loop's time a caller may take with 10,000 characters: a quarter of a wire frame."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  … , - !", []),
        ("Stop!", ["stop"]),
        ("Mm-hm.", ["mm", "hm"]),
        ("I don’t know", ["i", "don't", "know"]),
        ("Straße 42", ["strasse", "42"]),
        ("嗯，好的", ["嗯", "好", "的"]),
        ("はい book a table", ["は", "い", "book", "a", "table"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_nothing_is_a_backchannel_unless_listed() -> None:
    assert not Backchannels().all_of("mm-hm")
    assert not Backchannels().all_of("")


@pytest.mark.parametrize("text", ["Mm-hm.", "yeah, right", "Okay okay OKAY", "I see."])
def test_listed_noises_alone_or_in_a_row(text: str) -> None:
    assert Backchannels(BACKCHANNELS["en"]).all_of(text)


@pytest.mark.parametrize("text", ["Yeah but no", "right now", "I", "stop"])
def test_more_than_noises(text: str) -> None:
    assert not Backchannels(BACKCHANNELS["en"]).all_of(text)


def test_an_unfinished_noise_is_not_yet_something_said() -> None:
    noises = Backchannels(["uh huh"])
    assert noises.all_of("uh", unfinished=True)
    assert not noises.all_of("uh")
    assert not noises.all_of("uh no", unfinished=True)


def test_chinese_noises() -> None:
    noises = Backchannels(BACKCHANNELS["zh"])
    assert noises.all_of("嗯，好的。")
    assert not noises.all_of("不好")


def brute_force(phrases: list[list[str]], said: list[str], unfinished: bool) -> bool:
    """Answers as `all_of` does, by trying every way to cut a text into noises; far too slow for a long text."""
    if not said:
        return True
    return any(
        (said[: len(phrase)] == phrase and brute_force(phrases, said[len(phrase) :], unfinished))
        or (unfinished and len(said) < len(phrase) and phrase[: len(said)] == said)
        for phrase in phrases
    )


def test_every_way_to_cut_a_text_into_noises_is_found() -> None:
    random = Random(7)
    for _ in range(3_000):
        phrases = [[random.choice("abc") for _ in range(random.randint(1, 4))] for _ in range(random.randint(1, 4))]
        said, unfinished = [random.choice("abc") for _ in range(random.randint(0, 8))], random.random() < 0.5
        found = Backchannels([" ".join(phrase) for phrase in phrases]).all_of(" ".join(said), unfinished=unfinished)
        assert found == brute_force(phrases, said, unfinished)


@pytest.mark.parametrize("language", BACKCHANNELS)
@pytest.mark.parametrize("between", ["", " ", "-"])
def test_no_text_of_ten_thousand_characters_holds_up_a_call(language: str, between: str) -> None:
    """ "mm hm" said 19 times once held up every call for 11.8 s: it can be cut in as many ways as 2^19."""
    noises = Backchannels(BACKCHANNELS[language])
    for noise in BACKCHANNELS[language]:
        text = (noise + between) * (10_000 // len(noise + between))
        assert least_s(lambda text=text: noises.all_of(text), enough_s=MOST_S / 2) < MOST_S, noise


def test_noises_in_a_row_are_noises_up_to_a_bound() -> None:
    noises = Backchannels(BACKCHANNELS["en"])
    assert noises.all_of("mm hm " * (MOST_WORDS // 2))
    assert not noises.all_of("mm hm " * (MOST_WORDS // 2 + 1))
