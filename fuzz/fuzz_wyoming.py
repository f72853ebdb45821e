"""What a Wyoming client sends: events that can be spoken, or a BadEvent, however the bytes arrive."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "bridge.wyoming.events", "wyoming.event"):
    from wyoming.event import Eventable
    from wyoming.tts import Synthesize, SynthesizeChunk

    from bridge.wyoming.events import BadEvent, EventReader, parse, read_event

_TOLD: Final = (
    {"type": "describe"},
    {"type": "ping", "data": {"text": "x"}},
    {"type": "synthesize", "data": {"text": "Hello.", "voice": {"name": "one", "language": "en"}}},
    {"type": "synthesize-start", "data": {"voice": {"name": "one"}, "context": {}}},
    {"type": "synthesize-chunk", "data": {"text": "Hel"}},
    {"type": "synthesize-stop"},
)
_LONG: Final = json.dumps({"text": "Hello."}).encode()
SEEDS: Final = (
    b"\x00" + b"".join(json.dumps(event).encode() + b"\n" for event in _TOLD),
    b"\x01" + json.dumps({"type": "synthesize", "data_length": len(_LONG)}).encode() + b"\n" + _LONG,
    b"\x02" + json.dumps({"type": "audio-chunk", "payload_length": 4}).encode() + b"\n1234",
)


async def _read(chunks: Iterable[bytes]) -> tuple[list[Eventable | None], str]:
    """Returns the events of a stream, and what is wrong with it."""
    reader, events = EventReader(), list[Eventable | None]()
    for chunk in chunks:
        reader.feed_data(chunk)
    reader.feed_eof()
    try:
        while (event := await read_event(reader)) is not None:
            events.append(parse(event))
    except BadEvent as error:
        return events, str(error)
    return events, ""


def check(data: bytes) -> None:
    how, stream = chosen(data)
    events, wrong = run(_read(pieces(stream, how)))
    json.dumps(wrong).encode()
    for event in events:
        if isinstance(event, (Synthesize, SynthesizeChunk)):
            event.text.encode()


if __name__ == "__main__":
    fuzz(check, SEEDS, is_json=True)
