"""Reads what a Wyoming client sends. No event may take much memory or time, and none is trusted to be whole."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from wyoming.event import Event, Eventable, async_read_event
from wyoming.info import Describe
from wyoming.ping import Ping
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeVoice

from engine.web.bodies import MAX_JSON_BYTES

_KINDS: Final[tuple[type[Eventable], ...]] = (
    *(Describe, Ping),
    *(Synthesize, SynthesizeStart, SynthesizeChunk, SynthesizeStop),
)
_MALFORMED: Final = "this is no Wyoming event"


class BadEvent(Exception):
    """The client has sent what is no event, or one that lacks something. The text is fit for the client."""


class EventReader(asyncio.StreamReader):
    """A stream in which neither a line nor what follows it may have more than MAX_JSON_BYTES.

    The package would wait for as many bytes as a client announces, and keep all of them.
    """

    def __init__(self) -> None:
        super().__init__(MAX_JSON_BYTES)
        self.received = 0
        """The number of bytes that have come."""

    def feed_data(self, data: Any) -> None:
        self.received += len(data)
        super().feed_data(data)

    async def readexactly(self, n: int) -> bytes:
        if not isinstance(n, int) or n > MAX_JSON_BYTES:
            raise BadEvent(f"an event may have {MAX_JSON_BYTES} bytes, and this one has {n}")
        return await super().readexactly(n)


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """Returns the next event; None where the client has left. Raises BadEvent."""
    try:
        event = await async_read_event(reader)
    except asyncio.IncompleteReadError:
        return None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise BadEvent(_MALFORMED) from None
    if event is None and not reader.at_eof():  # the package returns it for a line that is no JSON, too
        raise BadEvent(_MALFORMED)
    return event


def parse(event: Event) -> Eventable | None:
    """Returns what an event says; None for one of another service, which is to be passed over. Raises BadEvent."""
    for kind in _KINDS:
        if kind.is_type(event.type):
            try:
                message = kind.from_event(event)
                _check_texts(message)
            except (KeyError, TypeError, AttributeError, ValueError):
                raise BadEvent(f"something is missing or wrong in {event.type!r}") from None
            return message
    return None


def _check_texts(message: Eventable) -> None:
    """Raises TypeError or ValueError where something is no text that can be spoken or looked up."""
    texts = [getattr(message, "text", None)]
    if isinstance(voice := getattr(message, "voice", None), SynthesizeVoice):
        texts += [voice.name, voice.language]
    for text in texts:
        if text is not None:
            str.encode(text)
    if isinstance(message, (Synthesize, SynthesizeChunk)) and texts[0] is None:
        raise ValueError
