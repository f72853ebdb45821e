"""The messages between the engine and its worker processes.

A worker sends None once it is ready. It answers a Speak with any number of chunks of PCM, then with None. Where it was
asked for the word starts, lists of the samples at which words begin come among the chunks. A SpeechError may come in
place of any None.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.hibari.voices import DEFAULT
from engine.speech import Pcm, SpeechError, UnspeakableText

Answer = Pcm | list[int] | SpeechError | None


@dataclass(frozen=True, slots=True)
class Speak:
    """One sentence to speak."""

    text: str
    voice: str = DEFAULT
    speed: float = 1.0
    seed: int = 0
    language: str = "en"
    word_starts: bool = False
    """Whether to tell when the words begin."""


def unspeakable(text: str, language: str = "en") -> UnspeakableText:
    """Returns the error of a text without sounds of its language."""
    return UnspeakableText(f"hibari has no sounds of {language!r} for {text[:60]!r}")
