"""What agents say in the cluster: pages of words, each of which is a level of its own in the sound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.speech import Pcm

PAGES: Final = 12
"""A caller has one page after the other read out; after the last one comes the first again."""
SENTENCES: Final = 2
SENTENCE_WORDS: Final = 12
PAGE_WORDS: Final = SENTENCES * SENTENCE_WORDS
LEVEL_STEP: Final = 80
FIRST_CODE: Final = 20
"""The level of the softest word is this many steps."""
GREETING, CUT_OFF, NOTHING_ASKED, APOLOGY, UNKNOWN = range(5)
"""The codes of what is said beside pages, less `FIRST_CODE`."""
FIRST_PAGE: Final = 5
TEXTS: Final = {GREETING: "Hello.", CUT_OFF: "Sorry.", NOTHING_ASKED: "Yes.", APOLOGY: "Alas."}
_SYLLABLES: Final = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def _spelling(number: int) -> str:
    """Returns a word that no other number has: its first syllable counts units, its second one how often they ended."""
    return _SYLLABLES[number % len(_SYLLABLES)] + _SYLLABLES[(number // len(_SYLLABLES) + 17) % len(_SYLLABLES)]


_CODES: Final = {text.strip(".").lower(): FIRST_CODE + code for code, text in TEXTS.items()} | {
    _spelling(number): FIRST_CODE + FIRST_PAGE + number for number in range(PAGES * PAGE_WORDS)
}


def page_codes(page: int) -> range:
    """Returns the codes of a page's words, in order. Pages count from 1."""
    start = FIRST_CODE + FIRST_PAGE + (page - 1) % PAGES * PAGE_WORDS
    return range(start, start + PAGE_WORDS)


def page_text(page: int) -> str:
    """Returns a page as a language model writes it."""
    words = [_spelling(code - FIRST_CODE - FIRST_PAGE) for code in page_codes(page)]
    sentences = [words[start : start + SENTENCE_WORDS] for start in range(0, PAGE_WORDS, SENTENCE_WORDS)]
    return " ".join(f"{' '.join(sentence).capitalize()}." for sentence in sentences)


def begins_sentence(code: int) -> bool:
    """Tells whether a pause may stand before a word."""
    return (code - FIRST_CODE - FIRST_PAGE) % SENTENCE_WORDS == 0


def question(page: int) -> str:
    """Returns what a caller says."""
    return f"Please read page {page}."


def page_asked(said: Sequence[str]) -> int | None:
    """Returns the page that was asked for last, None where none was."""
    asked = re.findall(r"page (\d+)", " ".join(said))
    return int(asked[-1]) if asked else None


def levels(sentence: str, word_samples: int) -> Pcm:
    """Returns a sentence's sound: each word as long, at its own level."""
    words = re.findall(r"[a-z]+", sentence.lower())
    codes = np.array([_CODES.get(word, FIRST_CODE + UNKNOWN) for word in words], np.int16)
    return np.repeat(codes * np.int16(LEVEL_STEP), word_samples)
