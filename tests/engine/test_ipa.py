"""The IPA as people write it."""

from __future__ import annotations

import pytest

from engine.ipa import CONSONANTS, VOWELS, UnknownSound, can_be_said, is_ipa, is_vowel, sounds_of
from engine.respelling import respelled


@pytest.mark.parametrize(
    ("ipa", "sounds"),
    [
        ("ˈwʊstər", ["ˈ", "w", "ʊ", "s", "t", "ə", "r"]),
        ("'wʊs.tə(r)", ["ˈ", "w", "ʊ", "s", "t", "ə", "r"]),
        ("nuː ˈjɔ:k", ["n", "uː", " ", "ˈ", "j", "ɔː", "k"]),
        ("ˈt͡ʃɜ˞t͡ʃ", ["ˈ", "tʃ", "ɝ", "tʃ"]),
        ("ˈbʌtn̩", ["ˈ", "b", "ʌ", "t", "n̩"]),
        ("ʒwɛ̃", ["ʒ", "w", "ɛ̃"]),
        ("ɪç", ["ɪ", "ç"]),
        ("pʰɪt̪", ["p", "ɪ", "t"]),
        ("gəʊ", ["ɡ", "əʊ"]),
        ("kˈOkəɹO", ["k", "ˈ", "O", "k", "ə", "ɹ", "O"]),
    ],
)
def test_reads_sounds_with_their_marks(ipa: str, sounds: list[str]) -> None:
    assert sounds_of(ipa) == sounds


@pytest.mark.parametrize(("ipa", "sign"), [("w5", "5"), ("ˈwʊ§", "§"), ("ːa", "ː")])
def test_says_which_sign_is_no_sound(ipa: str, sign: str) -> None:
    assert not can_be_said(ipa)
    with pytest.raises(UnknownSound) as raised:
        sounds_of(ipa)
    assert raised.value.sign == sign


@pytest.mark.parametrize(
    "ipa", ["ˈwʊstər", "dʒɪf", "'lima", "’lima", "nu 'jork", "kˈOkəɹO", "ʒwɛ̃", "kæt", "deɪz", "liː"]
)
def test_tells_ipa(ipa: str) -> None:
    assert is_ipa(ipa)


@pytest.mark.parametrize(
    "path",
    [
        *("shop", "contact", "docs", "café", "über", "en", "ʃʃʃ", "kontakt", "店", ""),
        *("men's", "men’s", "menʼs", "l'oreal", "kids'", "rock'n'roll", "'", "français", "garçons", "bøker"),
    ],
)
def test_takes_no_path_of_a_link_for_ipa(path: str) -> None:
    assert not is_ipa(path)


@pytest.mark.parametrize(
    ("ipa", "spelled"),
    [
        ("ˈwʊstər", "wooster"),
        ("dʒɪf", "jif"),
        ("ʃɪˈvɔːn", "shivawn"),
        ("ˈsiːkwəl", "seekwel"),
        ("nuː ˈjɔːrk", "noo york"),
        ("ˈkɪsɪŋ", "kissing"),
    ],
)
def test_spells_it_as_english(ipa: str, spelled: str) -> None:
    assert respelled(ipa) == spelled


@pytest.mark.parametrize("sound", [*VOWELS, *CONSONANTS])
def test_every_sound_can_be_spelled(sound: str) -> None:
    spelled = respelled(sound)
    assert spelled.isascii()
    assert spelled or sound == "ʔ"
    assert is_vowel(sound) == (sound in VOWELS)
