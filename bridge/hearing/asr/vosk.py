"""vosk-server: it takes binary audio and answers each message with `{"partial"}` or `{"text"}`."""

from __future__ import annotations

import json

from bridge.hearing.asr.protocol import AsrProtocol, Message, Read, decode, text_of
from bridge.hearing.events import BadEvent, Partial, Transcript


class Vosk(AsrProtocol):
    """The server ends an utterance itself, after silence. It answers every message, which is why ours are long."""

    path = "/"
    speech_events = False
    default_rate_hz = 16_000
    chunk_ms = 100

    def opening(self) -> list[Message]:
        return [json.dumps({"config": {"sample_rate": self.sample_rate_hz}})]

    def audio(self, pcm: bytes) -> list[Message]:
        return [pcm]

    def closing(self) -> list[Message]:
        return ['{"eof" : 1}']  # the server compares it as text, the blank included

    def read(self, message: Message) -> Read:
        event = decode(message)
        if "partial" in event:
            text = text_of(event, "partial")
            return ([Partial(text)] if text else []), []
        if "text" in event:
            text = text_of(event, "text")
            return ([Transcript(text)] if text else []), []
        raise BadEvent("neither partial nor text")
