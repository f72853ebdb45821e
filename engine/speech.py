"""The interface of an engine: one sentence in, chunks of PCM out, cancelled by closing the stream."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.lexicon import Lexicon
from engine.status import EngineStatus

Pcm = NDArray[np.int16]
"""Mono 16-bit samples, shape (samples,)."""
MIN_SPEED: Final = 0.25
MAX_SPEED: Final = 4.0


class Priority(IntEnum):
    """The order of service where an engine has more work than it can do at once; lower goes first."""

    CALL = 0
    HTTP = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice that an engine can make."""

    id: str
    name: str
    languages: tuple[str, ...]
    """ISO 639-1 codes, or ("*",) for any."""


@dataclass(frozen=True, slots=True)
class VoiceReference:
    """A recording of the voice that is to be imitated. Two are equal when their `digest` is."""

    pcm: Pcm = field(compare=False, repr=False)
    sample_rate_hz: int
    text: str | None = None
    """The words that are said in it, where they are known: the imitation is closer then."""
    digest: str = field(init=False)
    """SHA-256 of samples, rate and text, in hex."""

    def __post_init__(self) -> None:
        told = f"{self.sample_rate_hz} {self.text or ''}".encode()
        object.__setattr__(self, "digest", hashlib.sha256(self.pcm.tobytes() + told).hexdigest())


@dataclass(frozen=True, slots=True)
class Style:
    """How a text is to be spoken: everything but the text itself, so one serves all the sentences of a reply."""

    voice: str = ""
    """A voice's id or an alias of one; empty means the engine's default."""
    language: str | None = None
    """An ISO 639-1 code; None lets the engine decide from the text."""
    instructions: str | None = None
    speed: float = 1.0
    """1.0 is the voice's own pace; 0.25 to 4.0, or ValueError is raised."""
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    reference: VoiceReference | None = None
    """The recording whose voice is used in place of `voice`; only for engines that `can_clone`."""
    priority: Priority = Priority.CALL
    sample_rate_hz: int | None = None
    """The rate at which the sound is wanted, from an engine that has it among its `other_rates_hz`. Any other speaks at
    its own, as all do where this is None: `Engine.rate_hz` tells."""
    lexicon: Lexicon | None = None
    """How words are pronounced that the text says nothing of; the pipeline puts it into what an engine is given."""
    needed_at_s: float | None = field(default=None, compare=False)
    """The time at which the audio is needed, on the event loop's clock, for an engine that chooses what to make first.

    The pipeline sets it for each sentence; None means at once.
    """
    on_word_starts: Callable[[Sequence[int]], None] | None = field(default=None, compare=False, repr=False)
    """Called by an engine that knows when its words begin: with the samples before each word of the sentence, in the
    order of `str.split`, any number at a time, each of them before the word's own audio is out.
    """

    listener: str = field(default="", compare=False)
    """Who hears it, for an engine that is several: all that one listener hears comes from the same, while it can."""
    heard_s: float = field(default=0.0, compare=False)
    """So much of the sentence's sound was heard already, from an engine that is lost. It is made at once once more, for
    only what follows on it is wanted."""

    def __post_init__(self) -> None:
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise ValueError(f"a speed is {MIN_SPEED} to {MAX_SPEED}, not {self.speed}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of audio on its way out of the pipeline."""

    pcm: Pcm
    text: str = ""
    """The sentence or word that begins with this chunk, as it was written; empty where the last one goes on."""
    spoken: str = ""
    """The wording in which the engine was given a whole sentence of `text`."""
    is_pause: bool = False
    """Whether it is silence between sentences, which belongs to no word."""


class SpeechError(Exception):
    """The engine could not speak. The text is fit for an administrator."""


class UnknownVoice(SpeechError):
    """There is no such voice. `known` lists those that there are."""

    def __init__(self, voice: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown voice {voice!r}; known are {', '.join(known)}")
        self.voice = voice
        self.known = tuple(known)


class UnspeakableText(SpeechError):
    """The engine has no sounds for this text: another script or language, or nothing but punctuation."""


class CannotClone(SpeechError):
    """The engine cannot imitate a recorded voice."""

    def __init__(self, engine: str) -> None:
        super().__init__(f"engine {engine!r} cannot clone voices; ENGINE=qwen3 with a Base model can")
        self.engine = engine


class EngineBusy(SpeechError):
    """The engine's queue is full; the request was not taken."""


class EngineNotReady(SpeechError):
    """The engine is being started again; the request was not taken. `retry_after_s` is when it may be ready."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Engine(ABC):
    """Makes speech, one sentence at a time, for many callers at once.

    It is started once, streams any number of sentences at once, and is closed once, all on one event loop. `stream`
    never blocks that loop: the work happens in another process or thread.
    """

    name: str
    """The engine's name in ENGINE."""
    sample_rate_hz: int
    """The sample rate of every chunk, where the style asks for none of the `other_rates_hz`."""
    other_rates_hz: tuple[int, ...] = ()
    """Further rates at which it makes sound when it is asked to: whoever listens at one of them resamples nothing."""
    first_sentence_chars: int | None = None
    """The longest opening that still gives prompt first audio, for an engine that makes whole sentences: the pipeline
    breaks a longer first sentence at a clause. None where audio streams out while a sentence is made."""
    can_clone: bool = False
    """Whether `Style.reference` is followed."""
    takes_ipa: bool = False
    """Whether `[word](/IPA/)` in English has the word said with these sounds. Neither of the two holds a space."""

    @abstractmethod
    async def start(self) -> None:
        """Loads the engine and warms it up. Raises SpeechError with one clear line when it cannot.

        EngineNotReady means that it has started, and cannot speak yet; until it can, it lists no voices.
        """

    @abstractmethod
    async def close(self) -> None:
        """Ends every stream and frees everything. It may be called more than once."""

    @abstractmethod
    def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        """Yields the PCM of one sentence at `rate_hz(style)`, silence trimmed at both ends: 20 ms or more a chunk but
        for the last.

        Closing the generator cancels the work and frees its place. Raises UnknownVoice, UnspeakableText, EngineBusy
        or SpeechError, at the first chunk or any later one.
        """

    def rate_hz(self, style: Style) -> int:
        """Returns the sample rate of the chunks of every sentence that is asked for in this style."""
        wanted = style.sample_rate_hz
        return wanted if wanted is not None and wanted in self.other_rates_hz else self.sample_rate_hz

    def check_room(self) -> None:
        """Raises EngineBusy where a reply over HTTP that begins now would not be heard soon and without gaps.

        A call's reply is not asked about: it goes first, and has a spare engine.
        """
        return

    @abstractmethod
    def voices(self) -> Sequence[Voice]:
        """Returns every voice that this engine can make, the default first."""

    @abstractmethod
    def resolve_voice(self, name: str) -> str:
        """Returns the id of the voice that `name` (an id or an alias, any case, "" for the default) stands for.

        Raises UnknownVoice.
        """

    @abstractmethod
    def deterministic(self, style: Style) -> bool:
        """Tells whether the same sentence and style always give the same samples, so that they may be cached."""

    @abstractmethod
    def status(self) -> EngineStatus:
        """Returns the engine's part of /health and /metrics."""

    async def prepare_clone(self, reference: VoiceReference) -> None:
        """Computes ahead what speaking in this voice needs, and keeps it for the streams that follow.

        Raises CannotClone, or SpeechError where the recording cannot be used.
        """
        raise CannotClone(self.name)

    def clear_voices(self) -> int:
        """Forgets the voices that `prepare_clone` kept and returns how many they were."""
        return 0
