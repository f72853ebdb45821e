"""The settings of a speech-to-speech service."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

from bridge.addresses import WebSocketAddress
from bridge.realtime.protocol import RealtimeOptions


class RealtimeSettings(BaseModel):
    """Whether a speech-to-speech service holds the conversations, and which one."""

    brain: Literal["text", "realtime"] = Field(
        "text", description="text: LLM_BASE_URL or SCRIPT; realtime: a service that hears and speaks by itself"
    )
    realtime_url: WebSocketAddress = Field(
        "",
        validate_default=True,
        description="ws:// or wss:// address of a service that speaks OpenAI's Realtime protocol",
    )
    realtime_api_key: SecretStr = Field(SecretStr(""), description="bearer token for REALTIME_URL; empty for none")
    realtime_model: str = Field("", description="the model that REALTIME_URL serves")
    realtime_transcriber: str = Field(
        "gpt-4o-mini-transcribe", description="the service's model that writes down the caller's words, or none"
    )
    realtime_turns: Literal["server_vad", "semantic_vad"] = Field(
        "server_vad", description="how the service finds out that the caller is done"
    )
    realtime_timeout_ms: int = Field(
        8_000, ge=500, le=60_000, description="to connect, and to the first sound of an answer; then to the fallback"
    )

    @field_validator("realtime_url")
    @classmethod
    def _is_known(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("brain") == "realtime":
            raise ValueError("must be the service's address with BRAIN=realtime")
        return value

    @field_validator("realtime_transcriber")
    @classmethod
    def _or_none(cls, value: str) -> str:
        return "" if value == "none" else value

    @field_validator("realtime_api_key")
    @classmethod
    def _can_be_sent(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuses what would fail in each call: a header that cannot be sent, and two credentials."""
        key = value.get_secret_value()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("must be printable ASCII on one line")
        if key and "@" in URL(info.data.get("realtime_url", "")).raw_authority:
            raise ValueError("must be empty where REALTIME_URL holds a user or password")
        return value

    @property
    def is_brain(self) -> bool:
        """Tells whether the service holds the conversations."""
        return self.brain == "realtime"

    def options(self, language: str, voice: str = "") -> RealtimeOptions:
        """Returns how a session is opened for callers who speak this language, with this voice; empty for any."""
        return RealtimeOptions(
            url=self.realtime_url,
            api_key=self.realtime_api_key.get_secret_value(),
            model=self.realtime_model,
            voice=voice,
            transcriber=self.realtime_transcriber,
            turns=self.realtime_turns,
            timeout_ms=self.realtime_timeout_ms,
            language=language,
        )
