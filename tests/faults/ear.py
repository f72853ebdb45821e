"""What the caller of one call hears, and when, read from the frames that came."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.simulation.heard import MOST_CHANGES
from tests.simulation.invariants import SURELY, bare
from tests.simulation.voice import Word

FRAME_S: Final = 0.02
TEXTS: Final = {
    "the greeting": "Good morning.",
    "the apology": "Sorry about that.",
    "the filler": "One moment.",
    "the tool's line": "Let me look.",
    "a prompt": "Are you there?",
    "a second prompt": "Please speak.",
    "that it was not understood": "Say again?",
    "that it was not understood, again": "Pardon?",
    "the answer": "Your parcel is on its way. It comes tomorrow at noon.",
    "the next answer": "Gladly, whenever needed. Goodbye for now.",
    "words without end": "Never",
    "an answer to what nobody said": "Certainly not.",
}
"""What may be said in a call, by what the table calls it."""
ENDLESS: Final = "words without end"


@dataclass(slots=True)
class Line:
    """One text that was heard, or a part of it."""

    name: str
    start_s: float
    end_s: float
    whole: bool
    rest: list[str]

    def __str__(self) -> str:
        return self.name if self.whole else f"a part of {self.name}"


@dataclass(frozen=True, slots=True)
class Heard:
    """What came to the caller's ear, in seconds of the loop's time."""

    lines: Sequence[Line]
    voiced_s: Sequence[float]
    """When each frame with sound in it came."""

    @classmethod
    def of(cls, frames: Iterable[tuple[float, bytes]], words: dict[int, Word], apology: frozenset[int]) -> Heard:
        """Reads the frames, each with the time at which it came; every word has its level."""
        lines: list[Line] = []
        voiced_s: list[float] = []
        samples_of: dict[int, int] = {}
        last_level = 0
        for at_s, payload in frames:
            samples = np.frombuffer(payload, np.int16)
            if not samples.any():
                continue
            voiced_s.append(at_s)
            if (np.diff(samples) != 0).sum() > MOST_CHANGES:  # a fade
                continue
            for level in dict.fromkeys(samples[samples != 0].tolist()):
                if (word := words.get(level)) is None:
                    continue
                if level != last_level:
                    _add(lines, bare(word.text), at_s, is_apology=level in apology)
                    samples_of[level] = 0
                last_level = level
                samples_of[level] += int((samples == level).sum())
                lines[-1].end_s = at_s + FRAME_S
                lines[-1].whole = not lines[-1].rest and samples_of[level] >= SURELY * word.samples
        return cls(lines, voiced_s)

    def longest_silence_s(self, from_s: float, until_s: float) -> float:
        """Returns the longest time in a span in which nothing was heard."""
        within = [from_s, *(at_s for at_s in self.voiced_s if from_s <= at_s <= until_s), until_s]
        return max(max(after - before - FRAME_S, 0.0) for before, after in itertools.pairwise(within))

    def said(self, name: str, after_s: float = 0.0) -> Line | None:
        """Returns the first time that a text was heard."""
        return next((line for line in self.lines if line.name == name and line.start_s >= after_s), None)


def name_of(word: str) -> str:
    """Returns the first text that has a word in it."""
    return next((name for name, text in TEXTS.items() if word in map(bare, text.split())), "")


def _add(lines: list[Line], word: str, at_s: float, *, is_apology: bool) -> None:
    """Adds a word to the line that it goes on with, or begins one."""
    if lines and lines[-1].rest and lines[-1].rest[0] == word:
        lines[-1].rest.pop(0)
        return
    if lines and lines[-1].name == ENDLESS == name_of(word):
        return
    for name, text in TEXTS.items():
        texts = [bare(each) for each in text.split()]
        if word in texts and (name == "the apology") == is_apology:
            lines.append(Line(name, at_s, at_s, False, texts[texts.index(word) + 1 :]))
            return
    lines.append(Line(f"“{word}”", at_s, at_s, False, []))
