"""The settings of a bridge that is one of several."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator

from engine.extras import install
from engine.loopback import is_loopback

SCHEMES = ("redis", "rediss", "unix")


class ClusterSettings(BaseModel):
    """What bridges share, and where the others reach this one."""

    redis_url: SecretStr = Field(
        SecretStr(""),
        description="the Redis that several bridges share, as redis://:password@host:6379/0; empty: what it would hold "
        "stays in this process. docs/scaling.md",
    )
    bridge_url: str = Field(
        "",
        description="where the other bridges reach this one's HTTP, under a name that need not be in ALLOWED_HOSTS; "
        "empty: http://HTTP_HOST:HTTP_PORT, which has to be none of loopback where REDIS_URL is of another machine",
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """The name under which the other bridges ask this one, where it is set."""
        return (host,) if (host := urlsplit(self.bridge_url).hostname) else ()

    @property
    def redis_is_elsewhere(self) -> bool:
        """Whether Redis is on another machine, by its address: then bridges of other machines may share it."""
        parts = urlsplit(self.redis_url.get_secret_value())
        return parts.scheme != "unix" and parts.hostname is not None and not is_loopback(parts.hostname)

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url:
            return value
        try:
            parts = urlsplit(url)
            is_address = parts.scheme in SCHEMES and bool(parts.path if parts.scheme == "unix" else parts.hostname)
            _ = parts.port
        except ValueError:
            is_address = False
        if not is_address:
            raise ValueError("must be like redis://:password@host:6379/0, rediss:// for TLS, or unix:///path")
        if find_spec("redis") is None:
            raise ValueError(f"must be empty without its package: {install('cluster')}")
        return value

    @field_validator("bridge_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.path.strip("/")
            _ = parts.port
        except ValueError:
            is_address = False
        if value and not is_address:
            raise ValueError("must be like http://10.0.0.5:8000")
        return value.rstrip("/")
