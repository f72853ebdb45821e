"""vosk-server: binary audio in, `{"partial"}` and `{"text"}` out, one answer a message."""

from __future__ import annotations

import json

from bridge.hearing.asr.protocol import AsrProtocol, Message, Read, decode, text_of
from bridge.hearing.events import BadEvent, Partial, Transcript


class Vosk(AsrProtocol):
    """It ends an utterance itself, after silence, and answers every message: so they are long."""

    path = "/"
    speech_events = False
    default_rate_hz = 16_000
    chunk_ms = 100

    def opening(self) -> list[Message]:
        return [json.dumps({"config": {"sample_rate": self.sample_rate_hz}})]

    def audio(self, pcm: bytes) -> list[Message]:
        return [pcm]

    def closing(self) -> list[Message]:
        return ['{"eof" : 1}']  # compared as text by the server, blank included

    def read(self, message: Message) -> Read:
        event = decode(message)
        if "partial" in event:
            text = text_of(event, "partial")
            return ([Partial(text)] if text else []), []
        if "text" in event:
            text = text_of(event, "text")
            return ([Transcript(text)] if text else []), []
        raise BadEvent("neither partial nor text")
