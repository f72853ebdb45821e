"""Settings from the environment or a `.env` file, under bare upper-case names; a wrong one stops the start."""

from __future__ import annotations

from typing import Any, Final, Literal, Self, get_args

from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from bridge.conversation.settings import ConversationSettings
from engine.qwen3.settings import QwenSettings
from engine.registry import EngineSettings
from engine.settings import SpeechSettings, VoiceSettings
from engine.web.access import is_loopback


class ServerSettings(BaseModel):
    """Where the server listens, what every caller is told, and how it logs."""

    audiosocket_host: str = Field("127.0.0.1", description="where Asterisk connects; keep it off public networks")
    audiosocket_port: int = Field(9092, ge=0, le=65535)
    http_host: str = Field("127.0.0.1", description="where the speech endpoints and the calls API listen")
    http_port: int = Field(8000, ge=0, le=65535)
    http_without_key: bool = Field(False, description="true: HTTP_HOST may be reached by others without API_KEY")
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


class Settings(BaseModel):
    """Every setting of `talkspurt serve`, in groups: each part of the program is given its own alone."""

    server: ServerSettings
    conversation: ConversationSettings
    speech: SpeechSettings
    voices: VoiceSettings
    engine: EngineSettings
    qwen: QwenSettings

    @classmethod
    def of(cls, **values: Any) -> Self:
        """The settings with these values, each under its bare name. Raises ValidationError."""
        return cls.model_validate(
            {
                group: {name: values[name] for name in model.model_fields if name in values}
                for group, model in GROUPS.items()
            }
        )


GROUPS: Final[dict[str, type[BaseModel]]] = {
    name: field.annotation for name, field in Settings.model_fields.items() if isinstance(field.annotation, type)
}
FIELDS: Final[dict[str, FieldInfo]] = {
    name: field for group in GROUPS.values() for name, field in group.model_fields.items()
}
"""Every setting by its name in small letters."""


class _Environment(BaseSettings):
    """What is set, as it is written there; every field is added below."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", protected_namespaces=()
    )


_TEXTS: Final[dict[str, Any]] = dict.fromkeys(FIELDS, (str, ""))
_EnvironmentTexts: Final = create_model("_EnvironmentTexts", __base__=_Environment, **_TEXTS)


class WrongSetting(Exception):
    """A setting's value is not allowed; one line for each, with name, value and what is."""


def load_settings() -> Settings:
    """The settings of this process. Raises WrongSetting."""
    try:
        settings = Settings.of(**_EnvironmentTexts().model_dump(exclude_unset=True))
    except ValidationError as error:
        raise WrongSetting("\n".join(_explain(dict(detail)) for detail in error.errors())) from None
    server, has_key = settings.server, bool(settings.speech.api_key.get_secret_value())
    if not (has_key or server.http_without_key or is_loopback(server.http_host)):
        raise WrongSetting(
            f"HTTP_HOST={server.http_host!r}: must be a loopback address, without API_KEY or HTTP_WITHOUT_KEY=true"
        )
    return settings


def _explain(detail: dict[str, object]) -> str:
    location = detail["loc"]
    assert isinstance(location, tuple)
    name = str(location[1]).upper()  # behind that of its group
    allowed = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    value = "(hidden)" if name.endswith(("_KEY", "_TOKEN", "_SECRET")) else repr(detail["input"])
    return f"{name}={value}: must be {allowed}" if not allowed.startswith("must") else f"{name}={value}: {allowed}"


def settings_table() -> str:
    """Every setting as a Markdown table."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, field in sorted(FIELDS.items()):
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        choices = " ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
        notes = "; ".join(filter(None, (field.description, choices)))
        rows.append(f"| `{name.upper()}` | {f'`{shown}`' if shown else ''} | {notes} |")
    return "\n".join(rows) + "\n"
