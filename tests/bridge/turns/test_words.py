"""Counting words and telling a listener's noises from something said."""

from __future__ import annotations

import pytest

from bridge.turns.words import BACKCHANNELS, Backchannels, words


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
