"""The models of what clients send. Each validates one body and gives its schema to the OpenAPI document."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from engine.encode import SAMPLE_RATES_HZ, FormatName
from engine.speech import MAX_SPEED, MIN_SPEED

# The names under which the earlier server's clients, and Qwen3-TTS itself, know the languages.
LANGUAGE_NAMES: Final = {
    "english": "en",
    "chinese": "zh",
    "mandarin": "zh",
    "cantonese": "yue",
    "beijing_dialect": "zh",
    "sichuan_dialect": "zh",
    "japanese": "ja",
    "korean": "ko",
    "german": "de",
    "french": "fr",
    "russian": "ru",
    "portuguese": "pt",
    "spanish": "es",
    "italian": "it",
}
ISO_CODE: Final = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")
NAMES: Final = {"": "", "auto": "", "Auto": "", **LANGUAGE_NAMES, **{n.title(): c for n, c in LANGUAGE_NAMES.items()}}
MAX_SEED: Final = 2**32 - 1


def _language_code(value: str) -> str:
    """Returns the ISO 639-1 code of a code, a locale or an English name; "" where the language is to be detected."""
    if value in NAMES:
        return NAMES[value]
    code = ISO_CODE.fullmatch(value)
    if code is None:
        raise ValueError(f"must be an ISO 639-1 code, auto or one of {', '.join(LANGUAGE_NAMES)}")
    return code[1].lower()


def _whole_number(value: object) -> object:
    """Returns a float such as 8000.0 as an int: JSON has one kind of number only."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _known_rate(value: int) -> int:
    if value not in SAMPLE_RATES_HZ:
        raise ValueError(f"must be one of {', '.join(map(str, SAMPLE_RATES_HZ))}")
    return value


def _truth(value: object) -> object:
    """Returns the truth value of a form's field, which is a string."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Language = Annotated[
    str,
    AfterValidator(_language_code),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{ISO_CODE.pattern}$"},
                {"type": "string", "enum": list(NAMES)},
            ]
        }
    ),
]
Rate = Annotated[
    int,
    AfterValidator(_known_rate),
    BeforeValidator(_whole_number),
    WithJsonSchema({"type": "integer", "enum": list(SAMPLE_RATES_HZ)}),
]
# The limits first: the schema does not see them through a validator.
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), BeforeValidator(_whole_number)]
Flag = Annotated[bool, BeforeValidator(_truth), Field(strict=True)]
Speed = Annotated[float, Field(ge=MIN_SPEED, le=MAX_SPEED)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
TopP = Annotated[float, Field(gt=0.0, le=1.0)]


class VoiceId(BaseModel):
    """A voice as OpenAI's API writes one."""

    id: str


class SpeechFields(BaseModel):
    """The fields that every speech endpoint takes."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    language: Language | None = Field(
        None, description="ISO 639-1 code or English name of the text's language; detected where it is not given"
    )
    temperature: Temperature | None = Field(None, description="0 makes the same audio every time, where sampled at all")
    top_p: TopP | None = None
    sample_rate: Rate | None = Field(
        None, description="samples a second; not given, the engine's own, or 8,000 for mulaw and alaw"
    )

    def language_code(self) -> str | None:
        """Returns the ISO 639-1 code; None where the language is to be detected."""
        return self.language or None


class SpeechRequest(SpeechFields):
    """The body of `POST /v1/audio/speech`, `/stream` and `/stream/pcm`, and a message of the WebSocket."""

    input: str = Field(description="the text to speak", min_length=1)
    model: str | None = Field(None, description="taken and not looked at: there is one model, see /v1/models")
    voice: str | VoiceId | None = Field(None, description="a name or an alias, see /v1/audio/voices; any case")
    response_format: FormatName | None = Field(None, description="how the audio is encoded; mulaw, alaw: headerless")
    speed: Speed | None = Field(None, description="1.0 is the voice's own pace")
    instructions: str | None = Field(None, description="how to say it, for voices that can be told")
    instruct: str | None = Field(None, description="the earlier server's name for `instructions`")
    seed: Seed | None = Field(None, description="the same seed gives the same audio")
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="`sse`: the audio as `speech.audio.delta` events, base64"
    )

    def voice_name(self) -> str:
        """Returns the name of the voice asked for; empty for the default."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice or ""


class CloneRequest(SpeechFields):
    """The fields of `POST /v1/audio/speech/clone`, a form."""

    input: str = Field(description="the text to speak", min_length=1)
    ref_text: str | None = Field(None, description="what is said in the recording: the imitation is closer then")
    response_format: FormatName | None = None
    stream: Flag = Field(False, description="send the audio as it is made, not when it is whole")


class VoiceUpload(BaseModel):
    """The fields of `POST /v1/audio/voices/{name}`, a form."""

    ref_text: str | None = Field(None, description="what is said in the recording: the imitation is closer then")
    language: Language | None = None


class SocketMessage(BaseModel):
    """The fields that tell what a message on the WebSocket is, before its speech fields are read."""

    event: Literal["cancel", "flush"] | None = None
    input: str | None = None
    input_delta: str | None = None
