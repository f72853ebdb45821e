"""The JSON on a link: what an engine is, how much room it has, a sentence with its style, and an error.

What is read comes from another process, perhaps of another machine, and is checked: WrongBytes is raised for all else.
The two ends may be of different versions while one after the other is replaced. So a field that is new has a default,
for it may be missing, and one that is not known is left alone. A kind of frame that is new closes the link of whoever
does not know it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from engine.link.frames import WrongBytes
from engine.speech import (
    CannotClone,
    Engine,
    EngineBusy,
    EngineNotReady,
    Priority,
    SpeechError,
    Style,
    UnknownVoice,
    UnspeakableText,
    Voice,
)
from engine.status import EngineStatus

_ERRORS: Final[dict[str, type[SpeechError]]] = {
    each.__name__: each for each in (SpeechError, UnspeakableText, EngineBusy)
}
_STRANGE_NAME: Final = "no engine has a voice of this name"
_STYLE: Final = (
    *("voice", "language", "instructions", "speed", "temperature", "top_p", "seed", "listener", "heard_s"),
    "sample_rate_hz",
)
"""The fields of a style that travel as they are. A recording to be imitated does not."""
_MESSAGE_CHARS: Final = 500
"""What is kept of an error's text, which goes into the log."""
_Read = TypeVar("_Read")
# Bounds are far beyond all that is meant: what is read is counted with, and shown to whoever asks for /health.
_Count = Annotated[int, Field(ge=0, le=2**31)]
_Seconds = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
_Slack = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
"""It has more room than `_Seconds`, out of which an engine reckons it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What an engine is, as far as whoever speaks with it has to know."""

    name: str
    sample_rate_hz: int
    voices: tuple[Voice, ...]
    names: Mapping[str, str]
    """The voice's id for each other name that it goes by; the default's for the empty one."""
    first_sentence_chars: int | None = None
    takes_any_voice: bool = False
    """Whether the engine takes names that it does not list."""
    takes_ipa: bool = False
    deterministic: bool = False
    """Whether it always speaks a sentence in the same way."""
    other_rates_hz: tuple[int, ...] = ()

    @classmethod
    def of(cls, engine: Engine, names: Iterable[str]) -> Self:
        """Returns what an engine is, and which of these `names` it knows."""
        known = {}
        for name in ("", *names):
            with suppress(UnknownVoice):
                known[name] = engine.resolve_voice(name)
        takes_any_voice = False
        with suppress(UnknownVoice):
            engine.resolve_voice(_STRANGE_NAME)
            takes_any_voice = True
        return cls(
            engine.name,
            engine.sample_rate_hz,
            tuple(engine.voices()),
            known,
            engine.first_sentence_chars,
            takes_any_voice,
            engine.takes_ipa,
            engine.deterministic(Style()),
            engine.other_rates_hz,
        )

    def resolve_voice(self, name: str) -> str:
        """Returns the id of the voice of this name. Raises UnknownVoice."""
        wanted = name.strip().lower()
        for voice in self.voices:
            if wanted in (voice.id.lower(), voice.id.lower().replace("_", " ")):
                return voice.id
        if wanted in self.names:
            return self.names[wanted]
        if self.takes_any_voice:
            return name
        raise UnknownVoice(name, [voice.id for voice in self.voices])

    def pack(self) -> bytes:
        """Returns it as it travels."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Room:
    """How an engine does, and how many more sentences it could speak."""

    status: EngineStatus
    sentences: _Count
    """Those that it makes, or that wait."""
    places: _Count | None = None
    """Those that it keeps up with, where that is known."""
    slack_s: _Slack | None = None
    """The least that any caller has ahead of what it hears; None while none listens."""
    draining: bool = False
    """Whether it takes no new sentences, for it is about to end."""

    def pack(self) -> bytes:
        """Returns it as it travels."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        status = {each.name: getattr(self.status, each.name) for each in fields(self.status)}
        return json.dumps({**told, "status": {**status, "details": dict(self.status.details)}}, default=str).encode()


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    voice: str
    language: str | None = None
    instructions: str | None = None
    speed: FiniteFloat = 1.0
    temperature: FiniteFloat | None = None
    top_p: FiniteFloat | None = None
    seed: int | None = None
    listener: str = ""
    heard_s: _Seconds = 0.0
    sample_rate_hz: int | None = None
    priority: Priority = Priority.CALL
    word_starts: bool = False
    needed_in_s: _Seconds | None = None


_HELLO: Final = TypeAdapter(Hello)
_ROOM: Final = TypeAdapter(Room)
_SENTENCE: Final = TypeAdapter(_Sentence)
_STARTS: Final = TypeAdapter(list[int])
_ERROR: Final = TypeAdapter(dict[str, str | int | list[str]])


def read_hello(payload: bytes) -> Hello:
    """Returns what an engine is."""
    hello = _read(_HELLO, payload)
    if not hello.voices or "" not in hello.names:
        raise WrongBytes("an engine without a voice")
    return hello


def read_room(payload: bytes) -> Room:
    """Returns how an engine does."""
    return _read(_ROOM, payload)


def pack_sentence(sentence: str, style: Style, now_s: float) -> bytes:
    """Returns a sentence and its style as they travel: clocks differ, so the time until it is needed goes with it."""
    told: dict[str, Any] = {name: getattr(style, name) for name in _STYLE}
    told |= {"text": sentence, "priority": int(style.priority), "word_starts": style.on_word_starts is not None}
    if style.needed_at_s is not None:
        told["needed_in_s"] = style.needed_at_s - now_s
    return json.dumps(told).encode()


def read_sentence(payload: bytes, now_s: float, on_word_starts: Callable[[Sequence[int]], None]) -> tuple[str, Style]:
    """Returns a sentence and its style. `on_word_starts` is told them if whoever asks wants to know."""
    told = _read(_SENTENCE, payload)
    try:
        style = Style(
            **{name: getattr(told, name) for name in _STYLE},
            priority=told.priority,
            needed_at_s=None if told.needed_in_s is None else now_s + told.needed_in_s,
            on_word_starts=on_word_starts if told.word_starts else None,
        )
    except ValueError as error:
        raise WrongBytes(str(error)) from None
    return told.text, style


def pack_starts(starts: Sequence[int]) -> bytes:
    """Returns the samples at which words begin, as they travel."""
    return json.dumps([int(start) for start in starts]).encode()


def read_starts(payload: bytes) -> list[int]:
    """Returns the samples at which words begin."""
    return _read(_STARTS, payload)


def pack_error(error: SpeechError) -> bytes:
    """Returns an error as it travels."""
    told: dict[str, Any] = {"error": type(error).__name__, "message": str(error)[:_MESSAGE_CHARS]}
    match error:
        case UnknownVoice():
            told |= {"voice": error.voice, "known": list(error.known)}
        case CannotClone():
            told |= {"engine": error.engine}
        case EngineNotReady():
            told |= {"retry_after_s": error.retry_after_s}
    return json.dumps(told).encode()


def read_error(payload: bytes) -> SpeechError:
    """Returns the error that has travelled."""
    match _read(_ERROR, payload):
        case {"error": "UnknownVoice", "voice": str(voice), "known": list(known)}:
            return UnknownVoice(voice[:_MESSAGE_CHARS], known)
        case {"error": "CannotClone", "engine": str(engine)}:
            return CannotClone(engine[:_MESSAGE_CHARS])
        case {"error": "EngineNotReady", "message": str(message), "retry_after_s": int(retry_after_s)}:
            return EngineNotReady(message[:_MESSAGE_CHARS], retry_after_s)
        case {"error": str(name), "message": str(message)}:
            return _ERRORS.get(name, SpeechError)(message[:_MESSAGE_CHARS])
    raise WrongBytes("an error of an unknown form")


def _read(adapter: TypeAdapter[_Read], payload: bytes) -> _Read:
    try:
        return adapter.validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise WrongBytes(f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}") from None
