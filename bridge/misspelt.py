"""Finds names that are no setting and look like one: a misspelt setting has no effect, and nobody would notice."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from dotenv import dotenv_values

from bridge.config import FIELDS

LIKENESS: Final = 0.85
"""How alike two names are (`difflib`'s ratio) of which one is taken for the other misspelt: `MAX_CALL` is 0.94 like
`MAX_CALLS`, `ASR_URI` is 0.86 like `ASR_URL`, and `HTTP_PROXY`, which other programs read, is 0.74 like `HTTP_PORT`."""


def misspelt_settings() -> list[str]:
    """Returns a line for each variable of the environment and of `.env` that is nearly the name of a setting."""
    try:
        names = {*os.environ, *dotenv_values(".env")}
    except (UnicodeDecodeError, OSError):  # `load_settings` says what is wrong with the file
        names = set(os.environ)
    known = [name.upper() for name in FIELDS]
    return [
        f"{name} is no setting and has no effect; did you mean {nearest}?"
        for name, nearest in nearly(sorted(names), known)
    ]


def nearly(names: Iterable[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Returns each of `names` that is not among `known` but like one of them, with the one that it is like most."""
    pairs = []
    for name in names:
        alike = get_close_matches(name.upper(), known, 1, LIKENESS) if name.upper() not in known else []
        pairs += [(name, nearest) for nearest in alike]
    return pairs
