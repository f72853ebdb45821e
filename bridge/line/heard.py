"""Works out the heard text: the words of a text that belong to the share of its audio that was played."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"\S+\s*")
_DIGIT_LETTERS: Final = 4
"""A digit takes about as long to say as four letters do."""
_CLAUSE_LETTERS: Final = 7
"""The pause at a comma or dash lasts about as long as seven letters."""
LETTERS_PER_SECOND: Final = 18.0
"""The pace of English speech (the embedded voice has 17 to 21). It serves to guess a sentence's length before all
of its audio is made."""


def spoken_letters(text: str) -> float:
    """Returns how long `text` takes to say, measured in letters."""
    return sum(_word_letters(word) for word in _WORD.findall(text))


def heard_words(text: str, share: float) -> str:
    """Returns the words of `text` that were heard at least half, when `share` (0 to 1) of its audio was played."""
    if share >= 1.0:
        return text
    left = share * spoken_letters(text)
    end = 0
    for match in _WORD.finditer(text):
        letters = _word_letters(match.group())
        if left < letters / 2:
            break
        left -= letters
        end = match.end()
    return text[:end]


def _word_letters(word: str) -> float:
    letters = sum(_DIGIT_LETTERS if c.isdigit() else 1 for c in word if c.isalnum())
    pause = _CLAUSE_LETTERS if word.rstrip()[-1:] in ",;:–—" else 0
    return letters + 1 + pause
