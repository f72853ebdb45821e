"""What a recogniser elsewhere sends of a call: its events are taken or refused, and what they tell is in bounds."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from aiohttp import WSMessage, WSMsgType

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen

with instrumented(__name__, "bridge.calls_api.event_socket", "bridge.calls_api.events", "bridge.hearing.events"):
    from bridge.calls_api.event_socket import _receive
    from bridge.conversation.talk import Talk
    from bridge.hearing.events import MAX_TEXT_CHARS, EventReader, InboundEvent, Partial, Transcript
    from bridge.line.playout import Interruption

_ITEM: Final = {"item_id": "a", "event_id": "e"}
_TRANSCRIPT: Final = "conversation.item.input_audio_transcription."
_TOLD: Final[tuple[Any, ...]] = (
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 5, "item_id": "a"},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900.0, "item_id": "a"},
    {"type": f"{_TRANSCRIPT}delta", "delta": "hel", "item_id": "a"},
    {"type": f"{_TRANSCRIPT}completed", "transcript": "hello", "audio_start_ms": None, **_ITEM},
)
SEEDS: Final = (
    b"\x00" + b"\n".join(json.dumps(event).encode() for event in _TOLD),
    b"\x00" + json.dumps(_TOLD).encode(),
)


class _Talk:
    """A call that is told events."""

    def __init__(self) -> None:
        self._reader = EventReader(40)
        self.transcripts: list[str] = []

    def event(self, event: InboundEvent) -> Interruption:
        heard = self._reader.read(event)
        if isinstance(heard, (Partial, Transcript)):
            assert len(heard.text) <= MAX_TEXT_CHARS
        if isinstance(heard, Transcript) and event.event_id:
            self.transcripts.append(event.event_id)
        for at_ms in (getattr(heard, "audio_start_ms", None), getattr(heard, "audio_end_ms", None)):
            assert at_ms is None or at_ms >= 40
        return Interruption(interrupted=False)


def check(data: bytes) -> None:
    talk = _Talk()
    for message in chosen(data)[1].decode(errors="replace").split("\n"):
        problem = _receive(cast(Talk, talk), WSMessage(WSMsgType.TEXT, message, None))
        json.dumps(problem).encode()
    assert len(set(talk.transcripts)) == len(talk.transcripts), "what was delivered twice is heard once"


if __name__ == "__main__":
    fuzz(check, SEEDS, is_json=True)
