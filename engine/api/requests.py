"""The models of what clients send. Each validates one body and gives its schema to the OpenAPI document."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from engine.encode import MAX_RATE_HZ, MIN_RATE_HZ, FormatName
from engine.speech import MAX_SPEED, MIN_SPEED
from engine.web.errors import ApiError

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
LANGUAGE_LETTERS: Final = {
    "a": "en", "b": "en", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt", "z": "zh",
}  # fmt: skip
"""The languages as Kokoro knows them."""
ISO_CODE: Final = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")
NAMES: Final = {"": "", "auto": "", "Auto": "", **LANGUAGE_NAMES, **{n.title(): c for n, c in LANGUAGE_NAMES.items()}}
MAX_SEED: Final = 2**32 - 1
DATA_URL: Final = re.compile(r"data:[^,]{0,100};base64,")
NUMBER: Final = re.compile(r"\d{1,10}(\.\d{0,20})?")


def _language_code(value: str) -> str:
    """Returns the ISO 639-1 code of a code, a locale or an English name; "" where the language is to be detected."""
    if value in NAMES:
        return NAMES[value]
    code = ISO_CODE.fullmatch(value)
    if code is None:
        raise ValueError(f"must be an ISO 639-1 code, auto or one of {', '.join(LANGUAGE_NAMES)}")
    return code[1].lower()


def _of_letter(value: object) -> object:
    return LANGUAGE_LETTERS.get(value, value) if isinstance(value, str) else value


def _number(value: object) -> object:
    """Returns a number that was sent as a text, "1.2", as one: clients of the earlier server do."""
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _whole_number(value: object) -> object:
    """Returns a float such as 8000.0 as an int: JSON has one kind of number only."""
    value = _number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _or_text(schema: dict[str, Any], pattern: str) -> WithJsonSchema:
    """Returns the schema of a number that may also be sent as a text of this pattern."""
    return WithJsonSchema({"anyOf": [schema, {"type": "string", "pattern": f"^({pattern})$"}]})


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
LanguageOrLetter = Annotated[
    Language,
    BeforeValidator(_of_letter),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{ISO_CODE.pattern}$"},
                {"type": "string", "enum": [*NAMES, *LANGUAGE_LETTERS]},
            ]
        }
    ),
]
Rate = Annotated[
    int,
    Field(ge=MIN_RATE_HZ, le=MAX_RATE_HZ),
    BeforeValidator(_whole_number),
    _or_text(
        {"type": "integer", "minimum": MIN_RATE_HZ, "maximum": MAX_RATE_HZ}, r"[89]\d{3}|[1-3]\d{4}|4[0-7]\d{3}|48000"
    ),
]
Seed = Annotated[
    int,
    Field(ge=0, le=MAX_SEED),
    BeforeValidator(_whole_number),
    _or_text({"type": "integer", "minimum": 0, "maximum": MAX_SEED}, r"\d{1,9}"),
]
Flag = Annotated[bool, BeforeValidator(_truth), Field(strict=True)]
Speed = Annotated[
    float,
    Field(ge=MIN_SPEED, le=MAX_SPEED),
    BeforeValidator(_number),
    _or_text(
        {"type": "number", "minimum": MIN_SPEED, "maximum": MAX_SPEED},
        r"0\.(2[5-9]|[3-9])\d{0,6}|[1-3](\.\d{1,6})?|4(\.0)?",
    ),
]
Temperature = Annotated[
    float,
    Field(ge=0.0, le=2.0),
    BeforeValidator(_number),
    _or_text({"type": "number", "minimum": 0, "maximum": 2}, r"[01](\.\d{1,6})?|2(\.0)?"),
]
TopP = Annotated[
    float,
    Field(gt=0.0, le=1.0),
    BeforeValidator(_number),
    _or_text({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, r"0\.\d{0,6}[1-9]|1(\.0)?"),
]


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
        None,
        description="samples a second, or the next rate that the format has; not given, the engine's own, or 8,000 for "
        "mulaw and alaw",
    )

    def language_code(self) -> str | None:
        """Returns the ISO 639-1 code; None where the language is to be detected."""
        return self.language or None


class SpeechRequest(SpeechFields):
    """The body of `POST /v1/audio/speech` and `/stream`, and a message of the WebSocket."""

    input: str = Field(description="the text to speak", min_length=1)
    model: str | None = Field(None, description="there is one model, see /v1/models; OpenAI's names mean it too")
    voice: str | VoiceId | None = Field(None, description="a name or an alias, see /v1/audio/voices; any case")
    response_format: FormatName | None = Field(
        None,
        description="how the audio is encoded; mulaw, alaw: headerless. Not given: mp3 for OpenAI's models, as there",
    )
    speed: Speed | None = Field(None, description="1.0 is the voice's own pace")
    instructions: str | None = Field(None, description="how to say it, for voices that can be told")
    instruct: str | None = Field(None, description="the earlier server's name for `instructions`")
    seed: Seed | None = Field(
        None, description="the same seed gives the same audio; with ENGINE=qwen3, while no other speech is made"
    )
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="`audio`: as it is made; `sse`: that as `speech.audio.delta` events, base64"
    )
    stream: Flag | None = Field(
        None,
        description="`true`: send the audio as it is made; `false`: when it is whole, with its length. Not given, "
        "WAV and FLAC, which state their length at their beginning, are sent whole, the others as they are made",
    )
    timestamps: Flag | None = Field(
        None,
        description="`true`: tell when each word begins and ends, in seconds; the answer is JSON then, with the audio "
        "in base64, in lines with `stream`, or has events of them with `stream_format: sse`",
    )
    ref_audio: str | None = Field(
        None,
        description="a recording of the voice to speak in, base64, bare or as a `data:` URL; /v1/audio/speech/clone "
        "takes larger ones",
        json_schema_extra={"format": "byte"},
    )
    ref_text: str | None = Field(None, description="what is said in `ref_audio`: the imitation is closer then")

    def recording(self) -> bytes | None:
        """Returns the recording in `ref_audio`; None where there is none. Raises ApiError where it is not base64."""
        if not self.ref_audio:
            return None
        encoded = DATA_URL.sub("", self.ref_audio, 1)
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError:
            message = "ref_audio is neither base64 nor a data: URL; send other recordings to /v1/audio/speech/clone"
            raise ApiError(400, "INVALID_AUDIO", message, param="ref_audio") from None

    def voice_name(self) -> str:
        """Returns the name of the voice asked for; empty for the default."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice or ""


class PcmRequest(SpeechRequest):
    """The body of `POST /v1/audio/speech/stream/pcm`, whose answer has no place for the times of words."""

    timestamps: Flag | None = Field(None, json_schema_extra={"enum": [False, None]})

    @field_validator("timestamps")
    @classmethod
    def _no_place(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("raw PCM has no place for the times of words; other endpoints have")
        return value


class CaptionedRequest(BaseModel):
    """The body of `POST /dev/captioned_speech`. Kokoro-FastAPI's other fields are taken and have no effect."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    input: str = Field(description="the text to speak", min_length=1)
    model: str | None = None
    voice: str | VoiceId | None = Field(None, description="a name or an alias, see /v1/audio/voices; any case")
    response_format: FormatName = Field("mp3", description="how the audio is encoded")
    speed: Speed | None = Field(None, description="1.0 is the voice's own pace")
    stream: Flag = Field(
        True, description="`true`: a line of JSON for each piece; `false`: one object, when it is whole"
    )
    return_timestamps: Flag = Field(True, description="`false`: `timestamps` is empty")
    lang_code: LanguageOrLetter | None = Field(
        None, description="Kokoro's letter, or what `language` takes; detected where it is not given"
    )

    def speech(self) -> SpeechRequest:
        """Returns the request of OpenAI's endpoint that asks for the same."""
        fields = self.model_dump(include={"input", "model", "voice", "response_format", "speed"})
        told = {"language": self.lang_code or "", "timestamps": self.return_timestamps}
        return SpeechRequest.model_validate({**fields, **told})


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


class NewVoice(VoiceUpload):
    """The fields of `POST /v1/audio/voices`, a form of OpenAI's; its `consent` and `type` are taken and not used."""

    name: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9_ -]{0,63}$",
        description="the voice's name; its id is this in small letters, with - for spaces",
    )


class SocketMessage(BaseModel):
    """The fields that tell what a message on the WebSocket is, before its speech fields are read."""

    event: Literal["cancel", "flush"] | None = None
    input: str | None = None
    input_delta: str | None = None
