"""What the engine and its worker processes say to each other.

A worker says None once it is ready. It answers a Speak with any number of pieces of PCM, among them the list of samples
at which its words begin where it was asked for, and then with None. Instead of any None may come a SpeechError.
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
    word_starts: bool = False
    """Whether to tell when its words begin."""


def unspeakable(text: str) -> UnspeakableText:
    """What is raised for a text without English sounds."""
    return UnspeakableText(f"hibari speaks English only and has no sounds for {text[:60]!r}")
