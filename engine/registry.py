"""Which engine speaks: from ENGINE= to an engine object."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr

from engine.hibari import HibariEngine
from engine.remote import RemoteEngine
from engine.speech import Engine


class EngineSettings(Protocol):
    """The settings that choose and shape an engine."""

    @property
    def engine(self) -> str: ...
    @property
    def remote_url(self) -> str: ...
    @property
    def remote_model(self) -> str: ...
    @property
    def remote_api_key(self) -> SecretStr: ...


def create_engine(settings: EngineSettings) -> Engine:
    """The engine that the settings ask for, not started. Imports torch only for a CUDA engine."""
    if settings.engine == "remote":
        return RemoteEngine(settings.remote_url, settings.remote_model, settings.remote_api_key.get_secret_value())
    return HibariEngine()
