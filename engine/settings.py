"""The settings of the speech endpoints and of cloned voices, each under its bare upper-case name in the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from engine.encode import FormatName

OPENAI_MODELS: Final = ("tts-1", "gpt-4o")
"""The beginnings of the names of OpenAI's speech models."""
ORIGIN: Final = re.compile(r"https?://[^/\s,*]+")


def _listed(value: str) -> frozenset[str]:
    return frozenset(filter(None, (part.strip() for part in value.split(","))))


class SpeechSettings(BaseModel):
    """The limits of the speech endpoints: who may use them, for what, and for how long."""

    api_key: SecretStr = Field(SecretStr(""), description="bearer token wanted by all but /health; empty: none")
    cors_origins: str = Field("", description="origins whose pages may call, separated by commas, or *; empty: none")
    allowed_hosts: str = Field(
        "", description="names under which the server is called, besides localhost and HTTP_HOST, by commas; *: any"
    )
    default_response_format: FormatName | None = Field(
        None, description="not set: mp3 for clients that ask for a model of OpenAI's, as there, and wav for others"
    )
    max_input_chars: int = Field(65536, ge=1, description="of one request's text; a longer one is refused")
    max_queue_depth: int = Field(
        64,
        ge=0,
        description="requests being synthesised at once, seven in eight of them for one address; 0 for no limit",
    )
    request_timeout: float = Field(300.0, gt=0, description="seconds that a request waits for its next piece of audio")
    slow_reader_timeout: float = Field(30.0, gt=0, description="seconds that a client may read slower than real time")
    text_normalize: bool = Field(True, description="write numbers, dates, money and the like out in words")

    audio_cache_max: int = Field(256, ge=0, description="finished replies kept; 0 for none")
    audio_cache_max_bytes: int = Field(256 * 2**20, ge=0, description="of all finished replies together; 0 for none")
    audio_cache_sampled: bool = Field(False, description="keep also what would come out differently next time")

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in _listed(value):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError("must be * or origins such as https://example.org, separated by commas")
        return value

    def response_format(self, model: str | None) -> FormatName:
        """Returns the format for a client that names none and asks for `model`."""
        return self.default_response_format or ("mp3" if (model or "").startswith(OPENAI_MODELS) else "wav")

    def origins(self) -> frozenset[str]:
        """Returns the origins in CORS_ORIGINS."""
        return _listed(self.cors_origins)

    def hosts(self) -> frozenset[str]:
        """Returns the names in ALLOWED_HOSTS."""
        return _listed(self.allowed_hosts)


class VoiceSettings(BaseModel):
    """The settings of where recordings of voices are kept and which are accepted."""

    voices_dir: Path = Field(Path("voices"), description="where stored voices are kept")
    voices_max: int = Field(100, ge=0, description="stored voices at most")
    voice_cache_max: int = Field(32, ge=0, description="cloned voices that the engine keeps ready")
    max_upload_bytes: int = Field(10 * 2**20, ge=1024, description="of one recording")
    reference_min_s: float = Field(1.0, gt=0, description="the shortest recording to clone a voice from, in seconds")
    reference_max_s: float = Field(
        60.0, gt=0, validate_default=True, description="the longest recording to clone a voice from, in seconds"
    )

    @field_validator("reference_max_s")
    @classmethod
    def _range(cls, value: float, info: ValidationInfo) -> float:
        if value < (least := info.data.get("reference_min_s", value)):
            raise ValueError(f"must be at least REFERENCE_MIN_S={least}")
        return value
