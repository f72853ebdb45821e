"""How long to wait in a caller's silence before the turn is theirs no more. No I/O.

Two witnesses are asked: the words, and a model that judges their sound. Where both say that the caller has ended, the
wait is short; where either says that more will come, it is long. Without both the silence alone decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge.turns.words import words

SURE: Final = 0.7
"""The probability from which the model says that the caller has ended."""
LANGUAGES: Final = ("en",)
"""The languages whose unfinished sentences are known. In others the silence alone decides."""
_GOES_ON: Final = """
a an the this these those my your his her its our their some any every each no another
and or but because cause so if though although while unless until than that which who whose as
of to for from with without at by into onto about between under over near per via in on
i we they he she i'm we're they're you're he's she's it's there's that's i'd we'd i'll we'll i've we've
am is are was were be been being do does did has have had will would can could should may might must shall
don't doesn't didn't can't couldn't won't wouldn't isn't aren't wasn't
not very just only also even quite rather like want need wanted needed let's mister mr mrs ms miss dr
um uh er erm
"""
GOES_ON: Final = frozenset(_GOES_ON.split())
"""Words after which an English sentence goes on."""
GOES_ON_PAIRS: Final = frozenset({("tell", "me"), ("let", "me"), ("give", "me"), ("my", "name"), ("my", "number")})
"""Pairs of words after which it does."""
SPELLED: Final = re.compile(r"(?<![\d$£€.:,])(?:\d(?:, |[ -])?){3,}\W*$|(?:\b[a-z]\b[\s.,-]*){2,}$", re.IGNORECASE)
"""A number or a name told piece by piece, as recognisers write it: neither 2,450 dollars nor 3:45."""
_CONJUNCTIONS: Final = "when|if|because|since|while|although|as"
_SUBJECTS: Final = "i|you|we|he|she|it|they|my|the|your"
CLAUSE: Final = re.compile(rf"(?:and |so |but )?(?:{_CONJUNCTIONS}) (?:{_SUBJECTS})\b[^,?]{{,40}}", re.IGNORECASE)
"""A short clause before which the main one has not come; a longer text may hold both."""
TIME_OF_DAY: Final = re.compile(r"\b[ap]\.? ?m\.?\W*$", re.IGNORECASE)
LOOKED_AT_CHARS: Final = 60
"""How much of the end of a text is looked at."""
_DIGITS: Final = "zero oh one two three four five six seven eight nine double triple"
DIGITS: Final = frozenset(_DIGITS.split())
_TEENS: Final = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
NUMBERS: Final = DIGITS | frozenset(_TEENS.split())


@dataclass(frozen=True, slots=True)
class ExpectedDigits:
    """The caller has been asked for a number."""

    length: int = 0
    """How many digits it has; 0 if nobody knows."""
    terminator: str = ""
    """The word that ends it, such as "hash"."""
    pause_ms: int = 2_000
    """How long a pause between its groups may be."""


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The rules of one call."""

    silence_ms: int = 480
    """The wait where silence alone decides."""
    quick_ms: int = 224
    """The wait where both witnesses say that the caller has ended."""
    patience_ms: int = 900
    """The wait where either says that more will come."""
    language: str = "en"
    digits: ExpectedDigits | None = None

    def wait_ms(self, text: str, probability: float | None) -> int:
        """Returns how long the silence has to last in all. `probability` is None where there is no model."""
        said = words(text)
        if self.digits is not None and said:
            return self._digits_wait_ms(said, self.digits)
        if probability is None or self.language not in LANGUAGES or not said:
            return self.silence_ms
        ended = probability >= SURE and not goes_on(text)
        return self.quick_ms if ended else self.patience_ms

    def goes_on(self, text: str) -> bool:
        """Tells whether the words say that more will come, whatever the sound says."""
        said = words(text)
        if self.digits is not None and said:
            return self._digits_wait_ms(said, self.digits) > self.silence_ms
        return self.language in LANGUAGES and goes_on(text)

    def longest_ms(self, *, has_model: bool) -> int:
        """Returns the longest wait that there can be; so long a silence ends any turn."""
        longest_ms = max(self.silence_ms, self.patience_ms if has_model and self.language in LANGUAGES else 0)
        return max(longest_ms, self.digits.pause_ms if self.digits is not None else 0)

    def _digits_wait_ms(self, said: list[str], expected: ExpectedDigits) -> int:
        told = count_digits(said)
        if expected.terminator and said[-1] == expected.terminator.casefold():
            return self.quick_ms
        if expected.length:
            return self.quick_ms if told >= expected.length else expected.pause_ms
        return expected.pause_ms if told else self.silence_ms


def goes_on(text: str) -> bool:
    """Tells whether an English speaker who has said this has more to say."""
    end = text[-LOOKED_AT_CHARS:]
    *_, before, last = "", "", *words(end)
    if TIME_OF_DAY.search(end):
        return False
    return (
        text.rstrip().endswith(",")
        or last in GOES_ON
        or CLAUSE.fullmatch(text.strip()) is not None
        or (before, last) in GOES_ON_PAIRS
        or (before == "in" and (last in NUMBERS or (last.isdigit() and len(last) < 3)))
        or (_is_digit(before) and _is_digit(last))
        or SPELLED.search(end) is not None
    )


def count_digits(said: list[str]) -> int:
    """Returns how many digits are told in these words: "double two" are two."""
    count, times = 0, 1
    for word in said:
        if word in ("double", "triple"):
            times = 2 if word == "double" else 3
            continue
        if word.isdigit():
            count += len(word) if len(word) > 1 else times
        elif word in DIGITS:
            count += times
        times = 1
    return count


def _is_digit(word: str) -> bool:
    return word in DIGITS or (len(word) == 1 and word.isdigit())
