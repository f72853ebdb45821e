"""What a recogniser's WebSocket protocol is: messages out of audio, events out of messages. No I/O."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bridge.hearing.events import BadEvent, Heard

Message = str | bytes
"""A WebSocket message: text or binary."""


Read = tuple[list[Heard], list[Message]]
"""What was heard, perhaps nothing, and what is to be sent in return."""


class ServiceError(Exception):
    """The service says that something is wrong; its text is the service's."""


class SessionLost(ServiceError):
    """And nothing more will come of this connection."""


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """What is asked of a recogniser."""

    language: str | None = None
    """ISO 639-1; None lets it decide."""
    model: str = ""
    api_key: str = ""
    sample_rate_hz: int | None = None
    """None for the protocol's own."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """More query parameters."""


class AsrProtocol(ABC):
    """One connection's side of a protocol; a new one for each connection."""

    path: ClassVar[str] = ""
    """Where the service listens, where the configured URL names no path."""
    speech_events: ClassVar[bool]
    """It tells when speech starts and stops; otherwise a local detector does, and `flush` is called at its end."""
    default_rate_hz: ClassVar[int] = 16_000
    chunk_ms: ClassVar[int] = 20
    """Audio a message."""

    def __init__(self, options: AsrOptions, offset_ms: int = 0) -> None:
        self.options = options
        self.offset_ms = offset_ms
        """Where in the call's audio this connection's begins."""
        self.sample_rate_hz = options.sample_rate_hz or self.default_rate_hz

    def url(self, base: str) -> str:
        """The address to connect to."""
        parts = urlsplit(base)
        query = {**self.query(), **dict(self.options.extra), **dict(parse_qsl(parts.query))}
        path = parts.path if parts.path not in ("", "/") else self.path
        return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))

    def query(self) -> dict[str, str]:
        return {}

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.options.api_key}"} if self.options.api_key else {}

    def opening(self) -> list[Message]:
        """Sent first."""
        return []

    @abstractmethod
    def audio(self, pcm: bytes) -> list[Message]:
        """Carry `pcm`: 16-bit little-endian mono at `sample_rate_hz`."""

    def flush(self) -> list[Message]:
        """The caller has stopped speaking: the final transcript is wanted now."""
        return []

    def closing(self) -> list[Message]:
        """Sent last."""
        return []

    @abstractmethod
    def read(self, message: Message) -> Read | None:
        """What a message says. None: nothing of the caller's audio. Raises BadEvent or ServiceError."""


def decode(message: Message) -> dict[str, Any]:
    """A JSON object. Raises BadEvent."""
    try:
        decoded = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise BadEvent("not a JSON object")
    return decoded


def text_of(message: Mapping[str, Any], key: str) -> str:
    """A text member. Raises BadEvent where it is missing or no text."""
    text = message.get(key)
    if not isinstance(text, str):
        raise BadEvent(f"{key}: text expected")
    return text.strip()
