"""The engine of a run: each word is sound of a level of its own, so that whoever hears it knows which word it is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from engine.speech import Engine, EngineBusy, Pcm, SpeechError, Style, Voice
from engine.status import EngineStatus

RATE_HZ = 8_000
LETTER_SAMPLES = 400
"""50 ms a letter."""
CHUNK_SAMPLES = 640
_FIRST_LEVEL = 100


@dataclass(slots=True)
class Word:
    """A word as it was made."""

    text: str
    level: int
    samples: int
    """How long it is."""
    made: int = 0
    """How much of it was made."""


@dataclass(slots=True)
class Stream:
    """One sentence, from its beginning to the end of its stream."""

    sentence: str
    listener: str
    """The call that hears it; empty where a server of its own made it."""
    began_s: float
    ended_s: float = math.inf


class SimulatedEngine(Engine):
    """Makes speech at a steady speed, in so many places; it can be slow, broken or killed."""

    name = "simulated"
    sample_rate_hz = RATE_HZ

    def __init__(self, places: int, speed: float) -> None:
        self.places = places
        self.speed = speed
        self.is_broken = False
        self.is_silent = False
        """Whether it makes silence in place of words, and tells no error."""
        self.error: Exception = SpeechError("the engine is out of order")
        """What it raises when it is broken or killed."""
        self.streams = 0
        """Streams open now."""
        self.sentences: list[Stream] = []
        """Every stream that was opened."""
        self.words: dict[int, Word] = {}
        """Every word that was begun, by its level."""
        self.apology: frozenset[int] = frozenset()
        """The levels of what was made before the first call, and is the same sound in all of them."""
        self.shared: frozenset[str] = frozenset()
        """The words that every call may hear."""
        self._next_level = _FIRST_LEVEL
        self._killed = asyncio.Event()

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def kill(self) -> None:
        """Ends every stream with an error, as the end of the engine's process does."""
        self._killed.set()
        self._killed = asyncio.Event()

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if self.streams >= self.places:
            raise EngineBusy("every place is taken")
        killed, clock = self._killed, asyncio.get_running_loop().time
        stream = Stream(sentence, style.listener, clock())
        self.sentences.append(stream)
        self.streams += 1
        try:
            words = [self._word(text) for text in sentence.split()]
            sound = np.concatenate([np.full(word.samples, word.level, np.int16) for word in words])
            if self.is_silent:
                sound[:] = 0
            starts = [0, *accumulate(word.samples for word in words)][:-1]
            if style.on_word_starts is not None:
                style.on_word_starts(starts)
            for at in range(0, len(sound), CHUNK_SAMPLES):
                piece = sound[at : at + CHUNK_SAMPLES]
                await asyncio.sleep(len(piece) / RATE_HZ / self.speed)
                if self.is_broken or killed.is_set():
                    raise self.error
                for word, start in zip(words, starts, strict=True):
                    word.made = min(max(at + len(piece) - start, 0), word.samples)
                yield piece
        finally:
            self.streams -= 1
            stream.ended_s = clock()

    def _word(self, text: str) -> Word:
        word = Word(text, self._next_level, max(sum(map(str.isalnum, text)), 1) * LETTER_SAMPLES)
        assert self._next_level < 32_000, "a run has not so many words"
        self.words[self._next_level] = word
        self._next_level += 1
        return word

    def voices(self) -> list[Voice]:
        return [Voice("one", "One", ("en",))]

    def resolve_voice(self, name: str) -> str:
        return name or "one"

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> EngineStatus:
        return EngineStatus("simulated", "simulated", model_loaded=True, queue_depth=0)
