"""A rule of rewriting, and what several of them need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

NAME: Final = r"[A-Z][\w’'-]{0,30}"
"""A word with a capital letter."""
ORDINAL: Final = r"\d{1,3}(?:st|nd|rd|th)"


class Rule(NamedTuple):
    """Replaces each match of `pattern` by `written`. A pattern takes a time in proportion to the text's length."""

    pattern: re.Pattern[str]
    written: str | Callable[[re.Match[str]], str]


def rule(pattern: str, written: str | Callable[[re.Match[str]], str], *, any_case: bool = False) -> Rule:
    """Returns the rule; `any_case` ignores the difference between small and capital letters."""
    return Rule(re.compile(pattern, re.IGNORECASE if any_case else 0), written)


def any_of(words: Iterable[str]) -> str:
    """Returns a pattern of these words, the longer ones first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def paired(number: str) -> str:
    """Writes a number of three or four digits as rooms and houses are said: 101 "1 oh 1", 1234 "12 34"."""
    head, tail = number[:-2], number[-2:]
    if tail == "00":
        return number if head.endswith("0") else f"{head} hundred"
    return f"{head} oh {tail[1]}" if tail[0] == "0" else f"{head} {tail}"
