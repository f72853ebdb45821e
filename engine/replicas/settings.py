"""The settings of `talkspurt engine`, each under its bare upper-case name in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from engine.loopback import is_loopback

MIN_TOKEN_CHARS: Final = 16
"""A shorter token can be guessed."""
MAX_TOKEN_CHARS: Final = 512


def existing(path: Path | None) -> Path | None:
    """Returns the path of a file. Raises ValueError where there is none."""
    if path is not None and not path.is_file():
        raise ValueError("must be a file that there is")
    return path


class ReplicaSettings(BaseModel):
    """Where `talkspurt engine` listens, and how its connections are encrypted."""

    engine_host: str = Field("127.0.0.1", description="where `talkspurt engine` listens for bridges")
    engine_port: int = Field(7070, ge=0, le=65535, description="0: any that is free")
    engine_tls_cert: Path | None = Field(
        None, description="PEM file with the certificate of `talkspurt engine`; needed where it is not on loopback"
    )
    engine_tls_key: Path | None = Field(None, description="PEM file with its key; empty: it is in ENGINE_TLS_CERT")

    engine_min_replicas: int = Field(1, ge=1, le=1_000, description="with --ray: replicas while little is spoken")
    engine_max_replicas: int = Field(1, ge=1, le=1_000, description="with --ray: replicas at most")
    engine_sentences_per_replica: int = Field(
        0, ge=0, description="with --ray: sentences at once for each replica; 0: 70 % of what one keeps up with"
    )
    engine_scale_up_s: float = Field(10.0, gt=0, le=3_600, description="with --ray: how long too much is spoken first")
    engine_scale_down_s: float = Field(600.0, gt=0, le=86_400, description="with --ray: how long too little is spoken")

    @field_validator("engine_max_replicas")
    @classmethod
    def _is_not_less(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("engine_min_replicas", 1) and value != 1:
            raise ValueError("must not be less than ENGINE_MIN_REPLICAS")
        return value

    @field_validator("engine_tls_cert", "engine_tls_key")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        return existing(value)

    @field_validator("engine_tls_key")
    @classmethod
    def _has_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("engine_tls_cert") is None:
            raise ValueError("must be empty without ENGINE_TLS_CERT")
        return value

    def missing(self, token: str) -> str:
        """Returns what is wrong where others than this machine's own processes could connect; empty for nothing."""
        if is_loopback(self.engine_host) or (token and self.engine_tls_cert is not None):
            return ""
        wanted = "ENGINE_TLS_CERT" if token else "ENGINE_TOKEN" if self.engine_tls_cert else ""
        return (
            f"ENGINE_HOST={self.engine_host!r}: must be a loopback address unless "
            f"{f'{wanted} is set too' if wanted else 'ENGINE_TOKEN and ENGINE_TLS_CERT are set'}"
        )
