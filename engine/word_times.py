"""When the words of a text begin and end in its audio, as chunks of the pipeline come. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.alignment import positions
from engine.speech import Chunk


@dataclass(frozen=True, slots=True)
class WordTime:
    """One word as it was written, its marks included, and where it lies in the audio."""

    word: str
    start_s: float
    end_s: float
    """Where the next word begins, or the sentence's sound ends."""
    is_estimated: bool = False
    """Whether the start was told from the lengths of the words, and not by the engine."""


class WordTimes:
    """Takes the chunks of `pipeline.speak`, made with `by_word`, and gives back each word once its end is known.

    A start that the engine told is exact to the sample. Words that came together share their time by their letters, as
    they are read: all of a sentence's where the engine does not tell when words begin.
    """

    def __init__(self, rate_hz: int, delay_s: float = 0.0) -> None:
        """`rate_hz` is that of the chunks; by `delay_s` a decoder's audio is later than what was encoded."""
        self._rate_hz = rate_hz
        self._delay_s = delay_s
        self._samples = 0
        """The samples of all the chunks so far."""
        self._open = ""
        """The words that have begun and not ended."""
        self._spoken = ""
        self._start = 0

    def take(self, chunk: Chunk) -> tuple[WordTime, ...]:
        """Takes the next chunk; returns the words that end where it begins."""
        ended: tuple[WordTime, ...] = ()
        if chunk.text.strip() or chunk.is_pause:
            ended = self.finish()
            self._open, self._spoken, self._start = chunk.text, chunk.spoken, self._samples
        self._samples += chunk.pcm.size
        return ended

    def finish(self) -> tuple[WordTime, ...]:
        """Returns the words that are still open: the audio ends here."""
        words, self._open = self._open.split(), ""
        if not words:
            return ()
        shares = [0.0, *_shares(words, self._spoken.split() or words)[1:], 1.0]
        places = self._start + np.asarray(shares) * (self._samples - self._start)
        times = [round(place) / self._rate_hz + self._delay_s for place in places]
        return tuple(
            WordTime(word, start_s, end_s, is_estimated=share > 0.0)
            for word, share, (start_s, end_s) in zip(words, shares[:-1], pairwise(times), strict=True)
        )


def _shares(words: list[str], spoken: list[str]) -> list[float]:
    """Returns for each word the share of the letters that are read before it."""
    lengths = [sum(map(str.isalnum, word)) for word in spoken]
    if not any(lengths):
        lengths = [1] * len(spoken)
    before = np.concatenate(([0.0], np.cumsum(lengths)))
    return [float(share) for share in np.interp(positions(words, spoken), range(len(before)), before / before[-1])]
