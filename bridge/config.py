"""Settings from the environment or a `.env` file, under bare upper-case names; a wrong one stops the start."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.qwen3.settings import QwenSettings

EngineName = Literal["auto", "hibari", "qwen3", "remote"]


class Settings(QwenSettings, BaseSettings):
    """Every setting of `talkspurt serve`, with its default."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", protected_namespaces=()
    )

    audiosocket_host: str = "127.0.0.1"
    audiosocket_port: int = Field(9092, ge=0, le=65535)
    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=0, le=65535)
    max_calls: int = Field(500, ge=1)
    drain_timeout: float = Field(20.0, ge=0, description="seconds given to calls in progress on SIGTERM")

    greeting: str = Field("", description="said to every caller; empty for none")
    apology: str = "I am sorry, something has gone wrong here. One moment, please."
    voice: str = Field("", description="empty for the engine's default")
    engine: EngineName = "auto"
    remote_url: str = Field("", description="base URL of an OpenAI-compatible speech server, for ENGINE=remote")
    remote_model: str = "tts-1"
    remote_api_key: SecretStr = SecretStr("")

    log_format: Literal["json", "text"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class WrongSetting(Exception):
    """A setting's value is not allowed; one line for each, with name, value and what is."""


def load_settings() -> Settings:
    """The settings of this process. Raises WrongSetting."""
    try:
        return Settings()
    except ValidationError as error:
        raise WrongSetting("\n".join(_explain(dict(detail)) for detail in error.errors())) from None


def _explain(detail: dict[str, object]) -> str:
    location = detail["loc"]
    assert isinstance(location, tuple)
    name = "_".join(str(part) for part in location[:1]).upper()
    allowed = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    value = "(hidden)" if name.endswith(("_KEY", "_TOKEN", "_SECRET")) else repr(detail["input"])
    return f"{name}={value}: must be {allowed}" if not allowed.startswith("must") else f"{name}={value}: {allowed}"
