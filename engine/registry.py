"""Creates the engine that ENGINE names."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from engine.fallback import FallbackEngine
from engine.hibari import HibariEngine
from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.settings import QwenSettings
from engine.remote import RemoteEngine
from engine.settings import VoiceSettings
from engine.speech import Engine

GPU_DEVICES: Final = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""The devices of NVIDIA's driver, on Linux and under WSL. They tell of a GPU without importing torch for seconds."""


class EngineSettings(BaseModel):
    """The settings that choose the engine and tell where a remote one is."""

    engine: Literal["auto", "hibari", "qwen3", "remote"] = Field(
        "auto", description="auto: qwen3 where there is a GPU, else the embedded hibari"
    )
    remote_url: str = Field(
        "", validate_default=True, description="base URL of an OpenAI-compatible speech server, for ENGINE=remote"
    )
    remote_model: str = Field("tts-1", description="what ENGINE=remote asks that server for")
    remote_api_key: SecretStr = SecretStr("")

    @field_validator("remote_url")
    @classmethod
    def _url(cls, value: str, info: ValidationInfo) -> str:
        if (value or info.data.get("engine") == "remote") and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL such as http://localhost:8001/v1 for ENGINE=remote")
        return value

    @field_validator("remote_api_key")
    @classmethod
    def _is_the_only_credential(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuses what aiohttp refuses to send, with every sentence: the key's header and the address's own."""
        if value and "@" in urlsplit(info.data.get("remote_url", "")).netloc:
            raise ValueError("must be empty where REMOTE_URL holds a user or password")
        return value


def create_engine(
    settings: EngineSettings, qwen: QwenSettings, voices: VoiceSettings, request_timeout_s: float
) -> Engine:
    """Returns the engine that the settings ask for, not started. Imports no torch: a CUDA engine has its own process.

    Behind an engine that may fail stands the embedded one, so that no caller is left in silence. Asked for by name, an
    engine that cannot start stops the start; `auto` goes on with the embedded one and says so in /health.
    """
    match settings.engine:
        case "remote":
            api_key = settings.remote_api_key.get_secret_value()
            return FallbackEngine(RemoteEngine(settings.remote_url, settings.remote_model, api_key), HibariEngine())
        case "qwen3":
            return FallbackEngine(Qwen3Engine(qwen, voices, request_timeout_s), HibariEngine())
        case "auto" if any(device.exists() for device in GPU_DEVICES):
            return FallbackEngine(Qwen3Engine(qwen, voices, request_timeout_s), HibariEngine(), optional=True)
        case _:
            return HibariEngine()
