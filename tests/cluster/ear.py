"""Reads out of a call's frames which words were said, how much of each, and the silences between them. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.cluster.words import FIRST_CODE, LEVEL_STEP, begins_sentence
from tests.support.counting_engine import RATE_HZ as ENGINE_HZ
from tests.support.counting_engine import WORD_SAMPLES as ENGINE_WORD_SAMPLES

RATE_HZ: Final = 8_000
FRAME_S: Final = 0.02
WORD_SAMPLES: Final = ENGINE_WORD_SAMPLES * RATE_HZ // ENGINE_HZ
TOLERANCE: Final = 8
"""How far resampling may move a level."""
LEAST_SAMPLES: Final = 24
"""Fewer samples of a level in a frame are the edge between two others."""
WHOLE: Final = 0.8
"""So much of a word is the word: at its ends its level is not reached yet."""
TWICE: Final = 1.2


@dataclass(slots=True)
class Word:
    """A word as it was heard, at one time."""

    code: int
    start_s: float
    end_s: float
    samples: int
    silence_s: float
    """The silence before it, or the longest in it."""


class Ear:
    """Hears one caller, whatever connections the sound comes over. Times are those that it is given."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.strange_frames = 0
        """Frames with sound that is none of the words, such as another engine's."""
        self.voiced_s = 0.0
        """When sound was heard last."""

    def feed(self, payload: bytes, at_s: float) -> None:
        """Takes a frame that came at this time."""
        samples = np.frombuffer(payload, "<i2").astype(np.int32)
        loud = np.abs(samples) > FIRST_CODE * LEVEL_STEP // 2
        if np.count_nonzero(loud) < LEAST_SAMPLES:
            return
        silence_s = max(at_s - self.voiced_s - FRAME_S, 0.0) if self.voiced_s else 0.0
        self.voiced_s = at_s
        codes = (samples + LEVEL_STEP // 2) // LEVEL_STEP
        is_word = loud & (codes >= FIRST_CODE) & (np.abs(samples - codes * LEVEL_STEP) <= TOLERANCE)
        self.strange_frames += bool(is_word.sum() < loud.sum() // 2)
        found, first, counts = np.unique(codes[is_word], return_index=True, return_counts=True)
        for place in np.argsort(first):
            if counts[place] >= LEAST_SAMPLES:
                self._hear(int(found[place]), int(counts[place]), at_s, silence_s)
                silence_s = 0.0

    def times(self, code: int, from_place: int = 0) -> float:
        """Returns how often a word was heard from a place in `words` on, parts of it as parts."""
        return sum(word.samples for word in self.words[from_place:] if word.code == code) / WORD_SAMPLES

    def whole(self, codes: range, from_place: int = 0) -> bool:
        """Tells whether all of these words were heard."""
        heard = Counter[int]()
        for word in self.words[from_place:]:
            heard[word.code] += word.samples
        return all(heard[code] >= WHOLE * WORD_SAMPLES for code in codes)

    def silences(self, codes: range, pause_s: float, from_place: int = 0) -> Iterator[float]:
        """Yields the silence before each of these words but the first, less the pause between two sentences."""
        for word in self.words[from_place:]:
            if word.code in codes and word.code != codes[0]:
                yield max(word.silence_s - (pause_s if begins_sentence(word.code) else 0.0), 0.0)

    def _hear(self, code: int, samples: int, at_s: float, silence_s: float) -> None:
        if self.words and self.words[-1].code == code:
            word = self.words[-1]
            word.samples += samples
            word.end_s, word.silence_s = at_s + FRAME_S, max(word.silence_s, silence_s)
        else:
            self.words.append(Word(code, at_s, at_s + FRAME_S, samples, silence_s))
