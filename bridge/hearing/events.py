"""A conversation's events, named as in OpenAI's Realtime API: those that recognisers send, and those for observers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

SEEN_KEPT: Final = 256
"""The number of ids remembered, so that an event delivered twice is acted on once."""
MAX_TEXT_CHARS: Final = 10_000
"""The longest text kept of one utterance: some ten minutes of speech without a pause."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller has begun to speak."""

    audio_start_ms: int | None = None
    """The place in the caller's audio since the answer; None if the recogniser does not say."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller has fallen silent."""

    audio_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The caller has made no sound for a moment: less than ends speech, but it may be the end."""

    audio_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The caller goes on after `SpeechPaused`."""


@dataclass(frozen=True, slots=True)
class HoldBegan:
    """The caller has put the line on hold: there is music or a tone on it, and nobody."""

    audio_start_ms: int | None = None
    """Where the music began, some seconds ago."""


@dataclass(frozen=True, slots=True)
class HoldEnded:
    """The caller is back."""

    audio_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Beep:
    """A short tone, such as that after which a voicemail records, is over."""

    audio_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """The words of the speech so far: all of them, not only the newest, up to MAX_TEXT_CHARS."""

    text: str
    audio_start_ms: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text[:MAX_TEXT_CHARS])


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of speech that has ended, up to MAX_TEXT_CHARS; empty if there were none."""

    text: str
    audio_start_ms: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text[:MAX_TEXT_CHARS])


Voiced = SpeechStarted | SpeechPaused | SpeechResumed | SpeechStopped | HoldBegan | HoldEnded | Beep
"""What a voice activity detector hears."""
Heard = Voiced | Partial | Transcript


def _integral(value: Any) -> Any:
    """Returns 5 for 5.0, which JSON counts as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


AudioMs = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(_integral)]
"""A time in the caller's audio. Its upper limit is longer than any call."""
MAX_ID_CHARS: Final = 200
Id = Annotated[str, Field(max_length=MAX_ID_CHARS)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore")

    event_id: Id | None = None
    item_id: Id = ""


class SpeechStartedEvent(_Event):
    type: Literal["input_audio_buffer.speech_started"]
    audio_start_ms: AudioMs | None = Field(default=None, description="how much of the caller's audio was before it")


class SpeechStoppedEvent(_Event):
    type: Literal["input_audio_buffer.speech_stopped"]
    audio_end_ms: AudioMs | None = None


class TranscriptDeltaEvent(_Event):
    type: Literal["conversation.item.input_audio_transcription.delta"]
    delta: Text = Field(description="the newest words; they are joined by item_id")
    audio_start_ms: AudioMs | None = None


class TranscriptCompletedEvent(_Event):
    type: Literal["conversation.item.input_audio_transcription.completed"]
    transcript: Text
    audio_start_ms: AudioMs | None = None


InboundEvent = Annotated[
    SpeechStartedEvent | SpeechStoppedEvent | TranscriptDeltaEvent | TranscriptCompletedEvent,
    Field(discriminator="type"),
]
INBOUND: Final[TypeAdapter[InboundEvent]] = TypeAdapter(InboundEvent)
INBOUND_TYPES: Final = frozenset(
    {
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    }
)


class BadEvent(ValueError):
    """An event cannot be read; the message says what is wrong with it."""


def parse(message: Any) -> InboundEvent:
    """Returns the event in decoded JSON. Raises BadEvent."""
    try:
        return INBOUND.validate_python(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadEvent(f"{where}: {first['msg']}" if where else first["msg"]) from None


class EventReader:
    """Reads one source's events: it joins the pieces of a transcript and drops what was delivered twice."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        """Where in the call's audio this source's audio began."""
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def read(self, event: InboundEvent) -> Heard | None:
        """Returns what the event means, or None if it was read before."""
        if event.event_id and self._known(event.event_id):
            return None
        if event.item_id and f"completed {event.item_id}" in self._seen:
            return None  # the speech is over: the event is late, or was read before
        match event:
            case SpeechStartedEvent():
                return SpeechStarted(self._ms(event.audio_start_ms))
            case SpeechStoppedEvent():
                return SpeechStopped(self._ms(event.audio_end_ms))
            case TranscriptDeltaEvent():
                text = (self._texts.get(event.item_id, "") + event.delta)[:MAX_TEXT_CHARS]
                self._texts[event.item_id] = text
                while len(self._texts) > SEEN_KEPT:
                    self._texts.popitem(last=False)
                return Partial(text.strip(), self._ms(event.audio_start_ms))
            case TranscriptCompletedEvent():
                self._texts.pop(event.item_id, None)
                if event.item_id:
                    self._known(f"completed {event.item_id}")
                return Transcript(event.transcript.strip(), self._ms(event.audio_start_ms))

    def _known(self, key: str) -> bool:
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > SEEN_KEPT:
            self._seen.popitem(last=False)
        return False

    def _ms(self, at_ms: int | None) -> int | None:
        return None if at_ms is None else at_ms + self.offset_ms


def out(kind: str, call_id: str, **fields: Any) -> dict[str, Any]:
    """Returns an event for observers, such as `call.started`; fields that are None are left out."""
    return {"type": kind, "call_id": call_id, **{k: v for k, v in fields.items() if v is not None}}
