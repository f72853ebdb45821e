"""Settings from the environment or a `.env` file, under bare upper-case names; a wrong one stops the start."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bridge.conversation.settings import ConversationSettings
from engine.registry import EngineSettings


class Settings(ConversationSettings, EngineSettings, BaseSettings):
    """Every setting of `talkspurt serve`, with its default."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", protected_namespaces=()
    )

    audiosocket_host: str = Field("127.0.0.1", description="where Asterisk connects; keep it off public networks")
    audiosocket_port: int = Field(9092, ge=0, le=65535)
    http_host: str = Field("127.0.0.1", description="where the speech endpoints and the calls API listen")
    http_port: int = Field(8000, ge=0, le=65535)
    max_calls: int = Field(500, ge=1, description="calls at once; one more goes back to its dialplan")
    drain_timeout: float = Field(
        20.0, ge=0, allow_inf_nan=False, description="seconds given to calls in progress on SIGTERM"
    )

    greeting: str = Field("", description="said to every caller; empty for none")
    apology: str = Field(
        "I am sorry, something has gone wrong here. One moment, please.",
        description="said when the engine fails, before the call goes back to its dialplan; made at the start",
    )
    voice: str = Field("", description="empty for the engine's default")

    log_format: Literal["json", "text"] = Field("text", description="json for machines")
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


def settings_table() -> str:
    """Every setting as a Markdown table."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, field in sorted(Settings.model_fields.items()):
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        choices = " ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
        notes = "; ".join(filter(None, (field.description, choices)))
        rows.append(f"| `{name.upper()}` | {f'`{shown}`' if shown else ''} | {notes} |")
    return "\n".join(rows) + "\n"
