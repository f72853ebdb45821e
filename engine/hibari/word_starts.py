"""Finds when hibari's words begin, from the length of each phoneme, which its network has but does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from hibari import Hibari
from hibari.g2p.normalize import normalize
from hibari.voices import voice_path
from numpy.typing import NDArray

from engine.alignment import positions
from engine.hibari.phonemes import without_phonemes

# How many steps each phoneme lasts, the pauses at either end included: a value inside the network. Made one of its
# outputs, it changes nothing about the others.
DURATIONS: Final = "/Cast_32_output_0"

_RUN: Final = re.compile(r"\S+")


def model_with_durations(voice: str) -> bytes:
    """Returns a voice's ONNX model with DURATIONS as its last output, int64 of shape (phonemes,)."""
    # What is appended to a protobuf message adds to it: to field 7 of a model, its graph, in field 12, the graph's
    # outputs, one more with this in field 1, its name.
    return Path(voice_path(voice)).read_bytes() + _field(7, _field(12, _field(1, DURATIONS.encode())))


def _field(number: int, payload: bytes) -> bytes:
    """Returns a protobuf field of up to 127 bytes."""
    return bytes((number << 3 | 2, len(payload))) + payload


class WordStarts:
    """Finds when the words of a text begin, while hibari speaks it part by part."""

    def __init__(self, hibari: Hibari, text: str) -> None:
        self._vocabulary = hibari.vocab
        read = list(_read(hibari, text))
        self._count = len(read)
        self._begins = iter([index == 0 for _, runs in read for index in range(runs)])
        """For each run of phonemes between spaces, whether a word begins with it, as hibari reads the text."""
        self._starts: list[float] = []
        """The starts of hibari's words so far, in samples."""
        self._places = positions(without_phonemes(text).split(), [word for word, _ in read])

    def part(self, phonemes: str, ends: NDArray[np.float64]) -> Sequence[int]:
        """Returns the starts, in samples, of the words of `text.split()` that follow the ones told before.

        `ends` holds the samples at which the pause before the next phonemes, and then each of those, ends.
        """
        for run in _RUN.finditer(phonemes):
            if next(self._begins, False):
                self._starts.append(ends[sum(char in self._vocabulary for char in phonemes[: run.start()])])
        known, whole = len(self._starts), len(self._starts) == self._count
        places = [place for place in self._places if place < known or whole]
        self._places = self._places[len(places) :]
        return [round(start) for start in np.interp(places, range(known + 1), [*self._starts, ends[-1]])]


def _read(hibari: Hibari, text: str) -> Iterator[tuple[str, int]]:
    """Yields hibari's words of a text, each with the number of runs between spaces in its phonemes: 25 has two."""
    for sentence in hibari.split_sentences(text):
        word = phonemes = ""
        for token in hibari.g2p.phonemize_tokens(hibari.g2p.tokenize(normalize(sentence))):
            word += token.text
            phonemes += token.phonemes or ""
            if token.whitespace and (runs := len(phonemes.split())):
                yield word, runs
                word = phonemes = ""
        if runs := len(phonemes.split()):
            yield word, runs
