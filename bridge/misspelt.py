"""Finds names that nearly are known ones: a misspelt name has no effect, and nobody would notice."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

LIKENESS: Final = 0.85
"""How alike two names are (`difflib`'s ratio) of which one is taken for the other misspelt: `MAX_CALL` is 0.94 like
`MAX_CALLS`, `ASR_URI` is 0.86 like `ASR_URL`, and `HTTP_PROXY`, which other programs read, is 0.74 like `HTTP_PORT`."""


def misspelt(names: Iterable[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Returns each of `names` that is not among `known` but like one of them, with the one that it is most like."""
    pairs = []
    for name in names:
        alike = get_close_matches(name, known, 1, LIKENESS) if name not in known else []
        pairs += [(name, nearest) for nearest in alike]
    return pairs
