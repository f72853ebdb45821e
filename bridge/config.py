"""The settings, from the environment or a `.env` file under bare upper-case names. A wrong one stops the start."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from dotenv import dotenv_values
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from bridge.cluster.settings import ClusterSettings
from bridge.conversation.agents.agents_file import load_agents
from bridge.conversation.agents.yaml_file import WrongFile
from bridge.conversation.settings import ConversationSettings
from bridge.explaining import explain
from bridge.journal.settings import PrivacySettings
from bridge.misspelt import misspelt
from bridge.outbound.settings import OutboundSettings
from bridge.realtime.settings import RealtimeSettings
from bridge.traces.settings import TraceSettings
from engine.extras import install
from engine.loopback import is_any_address, is_loopback
from engine.qwen3.settings import QwenSettings
from engine.registry import EngineSettings
from engine.replicas.settings import ReplicaSettings
from engine.settings import SpeechSettings, VoiceSettings


class ServerSettings(BaseModel):
    """Where the server listens, what every caller is told, and how it logs."""

    audiosocket_host: str = Field("127.0.0.1", description="where Asterisk connects; keep it off public networks")
    audiosocket_port: int = Field(9092, ge=0, le=65535, description="0: any that is free")
    http_host: str = Field("127.0.0.1", description="where the speech endpoints and the calls API listen")
    http_port: int = Field(8000, ge=0, le=65535, description="0: any that is free")
    http_without_key: bool = Field(False, description="true: HTTP_HOST may be reached by others without API_KEY")
    wyoming_host: str = Field("127.0.0.1", description="where Home Assistant asks for speech, if WYOMING_PORT is set")
    wyoming_port: int | None = Field(
        None, ge=0, le=65535, description="10200 is usual; not set: no Wyoming. docs/home-assistant.md"
    )
    wyoming_without_key: bool = Field(
        False, description="true: WYOMING_HOST may be reached by others; Wyoming knows no key"
    )
    console: bool = Field(
        False, description="true: a page that shows calls, at /console, behind API_KEY: docs/console.md"
    )
    console_listen: bool = Field(True, description="false: the console plays the sound of no call")
    console_act: bool = Field(
        True, description="false: the console speaks into no call, interrupts none and hangs none up"
    )
    max_calls: int = Field(500, ge=1, description="calls at once; one more goes back to its dialplan")
    max_connections: int = Field(
        256,
        ge=1,
        description="HTTP connections at once, WebSockets included, and as many for Wyoming; one more is closed",
    )
    workers: int = Field(
        1, ge=1, le=256, description="processes that carry calls; 2 or more share one engine: docs/scaling.md"
    )
    drain_timeout: float = Field(
        20.0, ge=0, allow_inf_nan=False, description="seconds given to calls in progress on SIGTERM"
    )

    run_dir: Path | None = Field(
        None,
        description="folder for this server alone, in which one that is started later finds it and takes over from it "
        "(`talkspurt reload`); systemd's unit sets it; empty: none",
    )

    apology: str = Field(
        "I am sorry, something has gone wrong here. One moment, please.",
        description="said when the engine fails, before the call goes back to its dialplan; made at the start",
    )

    log_format: Literal["json", "text"] = Field("text", description="json for machines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged; debug holds what callers say: docs/privacy.md"
    )

    @field_validator("wyoming_port")
    @classmethod
    def _has_package(cls, value: int | None) -> int | None:
        if value is not None and find_spec("wyoming") is None:
            raise ValueError(f"must be empty without its package: {install('wyoming')}")
        return value


class Settings(BaseModel):
    """Every setting of `talkspurt serve`, in groups. Each part of the program is given only its own group."""

    server: ServerSettings
    cluster: ClusterSettings
    conversation: ConversationSettings
    realtime: RealtimeSettings
    outbound: OutboundSettings
    privacy: PrivacySettings
    traces: TraceSettings
    speech: SpeechSettings
    voices: VoiceSettings
    engine: EngineSettings
    replica: ReplicaSettings
    qwen: QwenSettings

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Returns settings with these values, each given under its bare name. Raises ValidationError."""
        return cls.model_validate(
            {
                group: {name: values[name] for name in model.model_fields if name in values}
                for group, model in GROUPS.items()
            }
        )

    def values(self) -> dict[str, Any]:
        """Returns every setting's value under its bare name."""
        return {name: value for group in GROUPS for name, value in getattr(self, group)}


GROUPS: Final[dict[str, type[BaseModel]]] = {
    name: field.annotation for name, field in Settings.model_fields.items() if isinstance(field.annotation, type)
}
FIELDS: Final[dict[str, FieldInfo]] = {
    name: field for group in GROUPS.values() for name, field in group.model_fields.items()
}
"""Every setting by its name in small letters."""
DOTENV: Final = Path(".env")
"""The file that is read beside the environment where no other is named."""


class _Environment(BaseSettings):
    """The values as they are written in the environment. Every field is added below."""

    model_config = SettingsConfigDict(
        env_file=DOTENV, env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", protected_namespaces=()
    )


_TEXTS: Final[dict[str, Any]] = dict.fromkeys(FIELDS, (str, ""))
_EnvironmentTexts: Final = create_model("_EnvironmentTexts", __base__=_Environment, **_TEXTS)


class WrongSetting(Exception):
    """Some values are not allowed. The message has a line for each setting: its name, its value and what is allowed."""


def load_settings(env_file: Path | None = None) -> Settings:
    """Returns the settings in the environment, and in a file where that has none. Raises WrongSetting."""
    env_file = env_file or DOTENV
    try:
        settings = Settings.of(**_EnvironmentTexts(_env_file=env_file).model_dump(exclude_unset=True))
    except (UnicodeDecodeError, OSError) as error:
        raise WrongSetting(f"{env_file}: {error}") from None
    except ValidationError as error:
        raise WrongSetting("\n".join(_explain(dict(detail)) for detail in error.errors())) from None
    server, has_key = settings.server, bool(settings.speech.api_key.get_secret_value())
    if not (has_key or server.http_without_key or is_loopback(server.http_host)):
        raise WrongSetting(
            f"HTTP_HOST={server.http_host!r}: must be a loopback address unless API_KEY is set or HTTP_WITHOUT_KEY=true"
        )
    if not (server.wyoming_port is None or server.wyoming_without_key or is_loopback(server.wyoming_host)):
        raise WrongSetting(
            f"WYOMING_HOST={server.wyoming_host!r}: must be a loopback address unless WYOMING_WITHOUT_KEY=true"
        )
    if server.console and not has_key:
        raise WrongSetting("CONSOLE=true: must be false unless API_KEY is set, which its login asks for")
    if (nowhere := _reached_nowhere(settings)) is not None:
        raise WrongSetting(
            f"BRIDGE_URL='': must say where other bridges reach this one, as http://10.0.0.5:8000, with {nowhere}"
        )
    try:
        agents = load_agents(settings.conversation, needs_model=not settings.realtime.is_brain)
    except WrongFile as error:
        raise WrongSetting(str(error)) from None
    if settings.privacy.privacy == "strict" and any(agent.settings.summary for agent in agents):
        raise WrongSetting("SUMMARY='true': must be false with PRIVACY=strict, of every agent")
    return settings


def _reached_nowhere(settings: Settings) -> str | None:
    """Returns the settings for which the other bridges cannot ask this one where it listens, None where they can."""
    server, cluster = settings.server, settings.cluster
    if not cluster.redis_url.get_secret_value() or cluster.bridge_url:
        return None
    supervised = server.workers > 1 or server.run_dir is not None
    if is_any_address(server.http_host) or (server.http_port == 0 and supervised):
        return f"HTTP_HOST={server.http_host!r} and HTTP_PORT={server.http_port}"
    # Each of them would write that its calls are at this address, and each would ask itself there.
    if is_loopback(server.http_host) and cluster.redis_is_elsewhere:
        return f"HTTP_HOST={server.http_host!r} and a REDIS_URL of another machine"
    return None


def misspelt_settings(env_file: Path | None = None) -> list[str]:
    """Returns a line for each variable of the environment and of the file that is nearly the name of a setting."""
    try:
        names = {*os.environ, *dotenv_values(env_file or DOTENV)}
    except (UnicodeDecodeError, OSError):  # `load_settings` says what is wrong with the file
        names = set(os.environ)
    return [
        f"{name.upper()} is no setting and has no effect; did you mean {nearest.upper()}?"
        for name, nearest in misspelt(sorted({name.lower() for name in names}), FIELDS)
    ]


def _explain(detail: dict[str, object]) -> str:
    location = detail["loc"]
    assert isinstance(location, tuple)
    name = str(location[1]).upper()  # the first part is the name of its group
    return explain(name, detail["input"], str(detail["msg"]))


def settings_table() -> str:
    """Returns a Markdown table of every setting."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, field in sorted(FIELDS.items()):
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = str(value).lower() if isinstance(value, bool) else str(value).replace("|", r"\|")
        shown = "" if value is None else shown
        choices = " ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
        notes = "; ".join(filter(None, (field.description, choices)))
        rows.append(f"| `{name.upper()}` | {f'`{shown}`' if shown else ''} | {notes} |")
    return "\n".join(rows) + "\n"
