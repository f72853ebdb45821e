"""Audio of a sentence cut where its words begin, each piece with its word as it was written."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from engine.alignment import positions
from engine.speech import Chunk, Pcm

_WORD: Final = re.compile(r"\s*\S+\s*")


class WordCutter:
    """Cuts the audio of one sentence, whose engine may tell when its words begin (`Style.on_word_starts`).

    Where the engine does not tell, the first chunk has the whole sentence's text.
    """

    def __init__(self, written: str, spoken: str) -> None:
        """`written` is the sentence in the text; `spoken` is its wording as the engine was given it."""
        self._written = written
        self._spoken = spoken
        self._spoken_words = spoken.split()
        self._words: deque[tuple[str, float]] = deque()
        """The words that have not begun, as written, and the place among the spoken words where each begins."""
        self._starts: list[int] = []
        self._made_samples = 0

    def tell(self, starts: Sequence[int]) -> None:
        """Takes the samples after which each of the next spoken words begins."""
        if self._written:
            places = positions(self._written.split(), self._spoken_words)
            self._words.extend(zip(_WORD.findall(self._written), places, strict=True))
            self._written = ""
        self._starts += starts

    def cut(self, pcm: Pcm) -> Iterator[Chunk]:
        """Yields the next audio of the sentence as chunks, each with the word that begins with it."""
        text, self._written = self._written, ""
        spoken = self._spoken if text else ""
        first = not self._made_samples
        done = 0
        while self._words and (start := self._start(self._words[0][1])) is not None:
            at = 0 if first else max(start - self._made_samples, done)
            if at >= pcm.size:
                break
            if at > done:
                yield Chunk(pcm[done:at], text)
                done, text = at, ""
            text += self._words.popleft()[0]
            first = False
        yield Chunk(pcm[done:], text, spoken)
        self._made_samples += pcm.size

    def rest(self) -> str:
        """Returns the words whose start the engine did not tell, once all of the audio was cut."""
        return "".join(word for word, _ in self._words) if self._made_samples else ""

    def _start(self, place: float) -> int | None:
        """Returns the sample at which a spoken word, or a part of one, begins; None while that is not known."""
        place = min(place, len(self._spoken_words) - 1)
        if place > len(self._starts) - 1:
            return None
        return round(np.interp(place, range(len(self._starts)), self._starts))
