"""Tells whether words that were heard are the agent's own, come back from the caller's loudspeaker. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ECHO_SHARE: Final = 0.6
"""The share of an echo's words that a recogniser gets as the agent said them, or more."""
LEAST_ECHO_WORDS: Final = 2
"""A single word of the agent's is often an answer, such as "Monday", so it takes more to be an echo."""
MOST_OWN_WORDS: Final = 1
"""How many words of the caller's may come last in an echo: one may be misheard, and more are a barge-in."""
MOST_SAID_WORDS: Final = 60
"""How many of the agent's last words are looked at: what is said in 20 s. It bounds the time of a comparison."""


def is_echo(heard: Sequence[str], said: Sequence[str]) -> bool:
    """Tells whether `heard` is for the most part what the agent has just `said`, in the same order."""
    said = said[-MOST_SAID_WORDS:]
    if not said or len(heard) < LEAST_ECHO_WORDS or len(heard) > MOST_SAID_WORDS / ECHO_SHARE:
        return False
    own = set(said)
    if not any(word in own for word in heard[-1 - MOST_OWN_WORDS :]):
        return False
    shared = _in_common(heard, said)
    return shared >= LEAST_ECHO_WORDS and shared >= ECHO_SHARE * len(heard)


def _in_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Returns the length of the longest sequence of words that both have, gaps allowed.

    Each bit of `row` stands for a word of `second`, so that a word of `first` takes a few operations (Hyyrö 2004).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(second):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(second)) - 1
    row = full
    for word in first:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & full
    return len(second) - row.bit_count()
