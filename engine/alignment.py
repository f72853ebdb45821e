"""Finds where the words of one wording of a text lie in another: "$5" where it is read out as "five dollars"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher


def positions(words: Sequence[str], others: Sequence[str]) -> list[float]:
    """Returns for each of `words` the place, counted in `others`, at which it begins. The places never decrease.

    Both sequences are the same text in order. Words that differ in case and punctuation only are matched; what is
    worded differently between two matches is shared out by its letters, so a place may lie within a word.
    """
    mine, theirs = [_bare(word) for word in words], [_bare(word) for word in others]
    places: list[float] = []
    for _, start, end, other_start, other_end in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if mine[start:end] == theirs[other_start:other_end]:
            places += range(other_start, other_end)
        else:
            places += _shared_out(mine[start:end], theirs[other_start:other_end], other_start)
    return places


def _shared_out(words: Sequence[str], others: Sequence[str], first: int) -> Iterator[float]:
    """Yields places for words that have none in common with `others`, the first of which is at `first`."""
    scale = sum(map(_length, others)) / max(1, sum(map(_length, words)))
    before, at, passed = 0.0, 0, 0
    for word in words:
        while at < len(others) and before * scale >= passed + _length(others[at]):
            passed += _length(others[at])
            at += 1
        part = (before * scale - passed) / _length(others[at]) if at < len(others) else 0.0
        yield first + at + part
        before += _length(word)


def _bare(word: str) -> str:
    return "".join(char for char in word.casefold() if char.isalnum())


def _length(bare: str) -> int:
    return max(1, len(bare))
