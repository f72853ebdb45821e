"""The settings of what the caller says: the recogniser, the end of a turn, the local detector, the echo canceller."""

from __future__ import annotations

from typing import Final, Literal, cast

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

from bridge.addresses import WebSocketAddress
from bridge.hearing.asr.recognizer_pool import MODEL_NAMES, ModelName

AsrProtocol = Literal["openai-realtime", "qwen3-asr", "vllm-realtime", "deepgram", "vosk", "embedded"]

NEED_LOCAL_VAD: Final = ("qwen3-asr", "vllm-realtime")
"""Protocols whose services give a final transcript only when told that the caller has stopped."""


class HearingSettings(BaseModel):
    """Who hears the callers, and when what they say begins and ends."""

    asr_url: WebSocketAddress = Field("", description="ws:// or wss:// address of the recogniser; empty for none")
    asr_protocol: AsrProtocol = Field("openai-realtime", description="what ASR_URL speaks; embedded: needs no service")
    asr_language: str = Field("", description="ISO 639-1; empty lets the recogniser decide")
    asr_model: str = Field("", description="with ASR_PROTOCOL=embedded moonshine, whisper or auto, which is both")
    asr_api_key: SecretStr = Field(SecretStr(""), description="token for ASR_URL; empty for none")
    asr_sample_rate: int | None = Field(None, ge=8_000, le=48_000, description="empty for the protocol's own")
    asr_timeout_ms: int = Field(5_000, ge=500, description="without a recogniser for this long, to the fallback")
    local_vad: bool = Field(True, description="hear speech locally too: faster onsets, and a hung recogniser shows")

    end_of_turn: Literal["meaning", "silence"] = Field("meaning", description="English, unless a service ends turns")
    end_silence_ms: int = Field(480, ge=160, le=10_000, description="silence that ends a turn where it alone decides")
    end_quick_ms: int = Field(224, ge=160, le=10_000, description="where words and sound both say that it has ended")
    end_patience_ms: int = Field(900, ge=160, le=10_000, description="where either says that more will come")
    digits_pause_ms: int = Field(2_000, ge=160, le=10_000, description="within a number that the call expects")
    side_talk_db: float = Field(
        0,
        ge=0,
        le=40,
        description="a voice so much softer than the caller's does not interrupt, as 8; 0: any voice does",
    )
    hold_detection: bool = Field(True, description="wait while there is music or a tone on the line, as on hold")
    echo_canceller: bool = Field(True, description="take the agent's echo out of what the recogniser hears")

    @field_validator("asr_api_key")
    @classmethod
    def _is_the_only_credential(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuses what aiohttp refuses to send, with every call: the key's header and the address's own."""
        if value and "@" in URL(info.data.get("asr_url", "")).raw_authority:
            raise ValueError("must be empty where ASR_URL holds a user or password")
        return value

    @field_validator("local_vad")
    @classmethod
    def _is_heard_somewhere(cls, value: bool, info: ValidationInfo) -> bool:
        protocol = info.data.get("asr_protocol")
        if not value and info.data.get("asr_url") and protocol in NEED_LOCAL_VAD:
            raise ValueError(f"must be true with ASR_PROTOCOL={protocol}: nothing else tells it when the caller stops")
        return value

    @field_validator("asr_model")
    @classmethod
    def _is_embedded_model(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("asr_protocol") == "embedded" and value not in MODEL_NAMES:
            raise ValueError(f"must be one of {', '.join(MODEL_NAMES)} with ASR_PROTOCOL=embedded")
        return value

    @property
    def embedded_model(self) -> ModelName:
        """The embedded recogniser's model, for ASR_PROTOCOL=embedded."""
        return cast(ModelName, self.asr_model or "auto")
