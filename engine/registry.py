"""Creates the engine that ENGINE names."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from engine.fallback import FallbackEngine
from engine.hibari import HibariEngine
from engine.loopback import is_loopback
from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.settings import QwenSettings
from engine.remote import RemoteEngine
from engine.replicas.address import read_addresses
from engine.replicas.engine import ReplicasEngine
from engine.replicas.settings import MAX_TOKEN_CHARS, MIN_TOKEN_CHARS, existing
from engine.settings import VoiceSettings
from engine.speech import Engine

GPU_DEVICES: Final = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""The devices of NVIDIA's driver, on Linux and under WSL. They tell of a GPU without importing torch for seconds."""


class EngineSettings(BaseModel):
    """The settings that choose the engine and tell where a remote one is."""

    engine: Literal["auto", "hibari", "qwen3", "remote"] = Field(
        "auto", description="auto: qwen3 where there is a GPU, else the embedded hibari"
    )
    engine_urls: str = Field(
        "",
        description="replicas for ENGINE=remote, as a:7070,b:7070: each a `talkspurt engine`; over TLS where it is not "
        "on loopback, or with tls:// before it",
    )
    engine_urls_from: str = Field(
        "",
        description="URL that lists them instead, as http://ray-head:8000/replicas of `talkspurt engine --ray`; "
        "read once a second, so replicas may come and go",
    )
    engine_token: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="what a bridge shows to its replicas; needed between machines, the same on all of them",
    )
    engine_tls_ca: Path | None = Field(
        None,
        validate_default=True,
        description="PEM file by which replicas' certificates are checked; empty: the system's authorities",
    )
    remote_url: str = Field(
        "", validate_default=True, description="base URL of an OpenAI-compatible speech server, for ENGINE=remote"
    )
    remote_model: str = Field("tts-1", description="what ENGINE=remote asks that server for")
    remote_api_key: SecretStr = Field(SecretStr(""), description="bearer token for REMOTE_URL; empty for none")
    http_fallback: bool = Field(
        False, description="the embedded voice answers HTTP requests too, not only calls, while the engine cannot speak"
    )

    @field_validator("engine_urls")
    @classmethod
    def _addresses(cls, value: str) -> str:
        read_addresses(value)
        return value

    @field_validator("engine_urls_from")
    @classmethod
    def _list(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("engine_urls"):
            raise ValueError("must be empty where ENGINE_URLS names replicas")
        if value and (not value.startswith(("http://", "https://")) or not urlsplit(value).hostname):
            raise ValueError("must be a URL such as http://ray-head:8000/replicas")
        if "@" in value:
            raise ValueError("must hold no user and no password")
        return value

    @field_validator("engine_token")
    @classmethod
    def _token(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        token = value.get_secret_value()
        if token and not (token.isascii() and token.isprintable() and MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS):
            raise ValueError(f"must be {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters of printable ASCII")
        if not token and any(not is_loopback(each.host) for each in read_addresses(info.data.get("engine_urls", ""))):
            raise ValueError("must be set where ENGINE_URLS names other machines")
        if not token and not _is_near(info.data.get("engine_urls_from", "")):
            raise ValueError("must be set where ENGINE_URLS_FROM is another machine's")
        return value

    @field_validator("engine_tls_ca")
    @classmethod
    def _is_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        """Without it anybody with a certificate is trusted, so the list must not come from just anybody."""
        listed_at = info.data.get("engine_urls_from", "")
        if value is None and listed_at.startswith("http://") and not _is_near(listed_at):
            raise ValueError("must be set where ENGINE_URLS_FROM is another machine's and not https")
        return existing(value)

    @field_validator("remote_url")
    @classmethod
    def _url(cls, value: str, info: ValidationInfo) -> str:
        names = [each for each in ("engine_urls", "engine_urls_from") if info.data.get(each)]
        if value and names:
            raise ValueError(f"must be empty where {names[0].upper()} names replicas")
        needed = info.data.get("engine") == "remote" and not names
        if (value or needed) and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL such as http://localhost:8001/v1 for ENGINE=remote without ENGINE_URLS")
        return value

    @field_validator("remote_api_key")
    @classmethod
    def _is_the_only_credential(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuses what aiohttp refuses to send, with every sentence: the key's header and the address's own."""
        if value and "@" in urlsplit(info.data.get("remote_url", "")).netloc:
            raise ValueError("must be empty where REMOTE_URL holds a user or password")
        return value


def _is_near(url: str) -> bool:
    """Tells whether there is no URL, or one of this machine."""
    return not url or is_loopback(urlsplit(url).hostname or "")


def create_engine(
    settings: EngineSettings, qwen: QwenSettings, voices: VoiceSettings, request_timeout_s: float, cores: int = 1
) -> Engine:
    """Returns the engine that the settings ask for, not started. Imports no torch: a CUDA engine has its own process.

    Behind an engine that may fail stands the embedded one, so that no caller is left in silence. Asked for by name, an
    engine that cannot start stops the start; `auto` goes on with the embedded one and says so in /health.
    Where the embedded one speaks for all, it does so in as many processes as there are `cores` for it.
    """
    engine = create_lone_engine(settings, qwen, voices, request_timeout_s, cores)
    if isinstance(engine, HibariEngine):
        return engine
    optional = settings.engine == "auto"
    return FallbackEngine(engine, HibariEngine(), optional=optional, always=settings.http_fallback)


def create_lone_engine(
    settings: EngineSettings, qwen: QwenSettings, voices: VoiceSettings, request_timeout_s: float, cores: int = 1
) -> Engine:
    """Returns the engine that the settings ask for without another behind it, not started."""
    match settings.engine:
        case "remote" if settings.engine_urls or settings.engine_urls_from:
            token = settings.engine_token.get_secret_value()
            addresses = read_addresses(settings.engine_urls)
            return ReplicasEngine(addresses, token, settings.engine_tls_ca, listed_at=settings.engine_urls_from)
        case "remote":
            api_key = settings.remote_api_key.get_secret_value()
            return RemoteEngine(settings.remote_url, settings.remote_model, api_key)
        case "qwen3":
            return Qwen3Engine(qwen, voices, request_timeout_s)
        case "auto" if any(device.exists() for device in GPU_DEVICES):
            return Qwen3Engine(qwen, voices, request_timeout_s)
        case _:
            return HibariEngine(cores)
