"""Words that are read otherwise than an engine would: a respelling or the IPA for each, by language and by agent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ANY: Final = "any"
"""In place of a language: whatever it is."""
_RUN: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a word is read: by its sounds, in other letters, or both, of which the engine takes what it can."""

    ipa: str = ""
    say: str = ""


Words = Mapping[str, Mapping[str, Reading]]
"""The readings of words, by language."""


class Lexicon:
    """The words of a server or of one agent. It never changes, and is equal to itself alone: caches may hold it."""

    def __init__(
        self, words: Words | None = None, agents: Mapping[str, Words] | None = None, *, of_all: Lexicon | None = None
    ) -> None:
        """`agents` are the words of single agents, which count before those of all, as `words` do before `of_all`."""
        words = words or {}
        self._of_all = of_all
        self._indexes = {language: _index(words, language) for language in {*words, ANY}}
        self._agents = {name: Lexicon(own, of_all=self) for name, own in (agents or {}).items()}

    def __bool__(self) -> bool:
        return any(self._indexes.values()) or bool(self._of_all)

    def of_agent(self, name: str) -> Lexicon:
        """Returns the lexicon of an agent: its own words over those of all."""
        return self._agents.get(name, self)

    def find(self, text: str, language: str) -> Iterator[tuple[int, int, Reading]]:
        """Yields where each word of the lexicon begins and ends in a text, in order, and how it is read there.

        A word in small letters is found however it is written, another one as it is. The longest one counts.
        """
        done = 0
        for run in _RUN.finditer(text):
            if run.start() < done:
                continue
            for word, reading in self._beginning_with(run[0].lower(), language[:2].lower()):
                end = run.start() + len(word)
                there = text[run.start() : end]
                if word in (there, there.lower()) and not (word[-1].isalnum() and text[end : end + 1].isalnum()):
                    yield run.start(), end, reading
                    done = end
                    break

    def _beginning_with(self, run: str, language: str) -> Sequence[tuple[str, Reading]]:
        """Returns the words with this first run of letters: the longest ones first, then an agent's own."""
        own = self._indexes.get(language, self._indexes[ANY]).get(run, [])
        if self._of_all is None:
            return own
        return sorted([*own, *self._of_all._beginning_with(run, language)], key=lambda entry: -len(entry[0]))


def _index(words: Words, language: str) -> dict[str, list[tuple[str, Reading]]]:
    """Returns a language's words by their first run of letters: the longest ones first, and those with capitals."""
    index: dict[str, list[tuple[str, Reading]]] = {}
    readings = {**words.get(ANY, {}), **words.get(language, {})}
    for word in sorted(readings, key=lambda word: (-len(word), word.islower())):
        first = _RUN.match(word)
        assert first is not None, "a word begins with a letter or a digit"
        index.setdefault(first[0].lower(), []).append((word, readings[word]))
    return index
