"""The interface of a recogniser's WebSocket protocol: it turns audio into messages and messages into events. No I/O."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bridge.hearing.events import BadEvent, Heard

Message = str | bytes
"""A WebSocket message, text or binary."""


Read = tuple[list[Heard], list[Message]]
"""The events that a message tells, perhaps none, and the messages to send in return."""


class ServiceError(Exception):
    """The service reports an error; the message is the service's own text."""


class SessionLost(ServiceError):
    """The service reports an error after which nothing more will come over this connection."""


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """How a recogniser is to be asked."""

    language: str | None = None
    """The ISO 639-1 code of the language; None lets the recogniser decide."""
    model: str = ""
    api_key: str = ""
    sample_rate_hz: int | None = None
    """The rate of the audio sent; None for the protocol's own."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further query parameters."""


class AsrProtocol(ABC):
    """Our side of one connection; a new one is made for each connection."""

    path: ClassVar[str] = ""
    """The path of the service, for a configured URL that names none."""
    speech_events: ClassVar[bool]
    """Whether the service tells when speech starts and stops. If not, a local detector does, and `flush` is called when
    speech stops."""
    default_rate_hz: ClassVar[int] = 16_000
    chunk_ms: ClassVar[int] = 20
    """How much audio one message carries."""

    def __init__(self, options: AsrOptions, offset_ms: int = 0) -> None:
        self.options = options
        self.offset_ms = offset_ms
        """Where in the call's audio this connection's audio begins."""
        self.sample_rate_hz = options.sample_rate_hz or self.default_rate_hz

    def url(self, base: str) -> str:
        """Returns the address to connect to: `base` with the protocol's path and parameters where it has none."""
        parts = urlsplit(base)
        own = parse_qsl(parts.query, keep_blank_values=True)
        names = {name for name, _ in own}
        query = [(name, value) for name, value in {**self.query(), **self.options.extra}.items() if name not in names]
        path = parts.path if parts.path not in ("", "/") else self.path
        return urlunsplit((parts.scheme, parts.netloc, path, urlencode([*query, *own]), ""))

    def query(self) -> dict[str, str]:
        return {}

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.options.api_key}"} if self.options.api_key else {}

    def opening(self) -> list[Message]:
        """Returns the messages to send first."""
        return []

    @abstractmethod
    def audio(self, pcm: bytes) -> list[Message]:
        """Returns the messages that carry `pcm`, 16-bit little-endian mono at `sample_rate_hz`."""

    def flush(self) -> list[Message]:
        """Returns the messages that ask for the final transcript, because the caller has stopped speaking."""
        return []

    def closing(self) -> list[Message]:
        """Returns the messages to send last."""
        return []

    @abstractmethod
    def read(self, message: Message) -> Read | None:
        """Returns what a message says, or None if it says nothing about the caller's audio.

        Raises BadEvent or ServiceError.
        """


def decode(message: Message) -> dict[str, Any]:
    """Returns the JSON object in a message. Raises BadEvent."""
    try:
        decoded = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise BadEvent("not a JSON object")
    return decoded


def text_of(message: Mapping[str, Any], key: str) -> str:
    """Returns a text member of an object. Raises BadEvent if it is missing or no text."""
    text = message.get(key)
    if not isinstance(text, str):
        raise BadEvent(f"{key}: text expected")
    return text.strip()
