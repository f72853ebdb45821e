"""The IPA in hibari's alphabet."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import hibari
import numpy as np
import pytest
from hibari.g2p import G2P
from rapidfuzz.distance import Levenshtein

from engine.hibari.messages import Speak
from engine.hibari.phonemes import phonemes_of, with_phonemes
from engine.hibari.synthesis import Synthesizer
from engine.ipa import CONSONANTS, VOWELS
from engine.respelling import respelled

VOCABULARY = json.loads((Path(hibari.__file__).parent / "assets/vocab.json").read_text())


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer()


@pytest.mark.parametrize(
    ("ipa", "phonemes"),
    [
        ("ˈwʊstər", "wˈʊstəɹ"),
        ("wˈʊstəɹ", "wˈʊstəɹ"),
        ("dʒɪf", "ʤˈɪf"),
        ("həˈləʊ", "həlˈO"),
        ("ˌsaʊ ˈpaʊloʊ", "sˌW pˈWlO"),
        ("ˈfɜːst", "fˈɜɹst"),
        ("bɝd", "bˈɜɹd"),
        ("ˈbʌtn̩", "bˈʌtᵊn"),
        ("kaˈfe", "kɑfˈA"),
        ("ˈbed", "bˈɛd"),
        ("ðə", "ðə"),
        ("ˈɡøːtə", "ɡˈɜɹtə"),
        ("ʒɑ̃", "ʒˈɑn"),
    ],
)
def test_writes_the_ipa_in_hibaris_alphabet(ipa: str, phonemes: str) -> None:
    assert phonemes_of(ipa) == phonemes


@pytest.mark.parametrize("sound", [*VOWELS, *CONSONANTS])
def test_hibari_has_every_sound(sound: str) -> None:
    assert set(phonemes_of(sound)) <= set(VOCABULARY)
    assert phonemes_of(sound) or sound == "ʔ"


def test_hibari_says_exactly_these_sounds(synthesizer: Synthesizer) -> None:
    def phonemes(text: str) -> list[str]:
        return synthesizer._hibari.phonemize(with_phonemes(text))

    assert phonemes("See [Worcester](/ˈwʊstər/), and [3M](/ˌθriːˈɛm/).") == ["sˈi wˈʊstəɹ, ænd θɹˌiˈɛm."]
    assert phonemes("[Leicester](/ˈlɛstər/)'s [Bach](/bɑːx/)'s") == ["lˈɛstəɹz bˈɑks"]
    assert phonemes("Take [this](/n5/) and [that](/123/).") == phonemes("Take this and that.")


def test_a_word_with_sounds_begins_where_it_is_told(synthesizer: Synthesizer) -> None:
    def starts(text: str) -> list[int]:
        told: list[int] = []
        for _ in synthesizer.speak(Speak(text), told.extend):
            pass
        return told

    plain = starts("We drive to [it](/ˈwʊstər/) with two friends today.")
    linked = starts("We drive to [Worcester](/ˈwʊstər/) with two friends today.")
    assert len(linked) == 8
    assert linked == plain, "the letters of the word count for nothing"
    assert np.all(np.diff(linked) > 0)


def test_a_respelling_is_read_much_as_the_sounds_are() -> None:
    """hibari's own reading of spellings stands for that of an engine without phonemes."""
    g2p = G2P()
    path = Path(hibari.__file__).parent / "assets/lexicon_us_gold.json.gz"
    known = json.loads(gzip.decompress(path.read_bytes()))
    words = sorted(
        word for word, sounds in known.items() if isinstance(sounds, str) and word.isalpha() and len(word) > 3
    )
    wrong = sounds = 0
    for word in random.Random(0).sample([word for word in words if word.islower()], 200):
        meant, read = (
            text.translate({ord("ˈ"): "", ord("ˌ"): "", ord("T"): "t", ord("ᵻ"): "ə", ord("ᵊ"): "ə"})
            for text in (phonemes_of(known[word]), g2p(respelled(known[word])))
        )
        wrong, sounds = wrong + Levenshtein.distance(meant, read), sounds + len(meant)
    assert wrong / sounds < 0.17
