"""The Qwen3-ASR server's `/ws/transcribe`: binary 16 kHz PCM in, partial and final texts out."""

from __future__ import annotations

import json

from bridge.asr.protocol import Message, Protocol, ServiceError, decode, text_of
from bridge.events import Heard, Partial, Transcript


class Qwen3Asr(Protocol):
    """`{"action": "config" | "flush"}` and binary audio out; `{"text", "is_partial", "is_final"}` in."""

    path = "/ws/transcribe"
    speech_events = False
    default_rate_hz = 16_000

    def opening(self) -> list[Message]:
        if not self.options.language:
            return []
        return [json.dumps({"action": "config", "language": self.options.language})]

    def audio(self, pcm: bytes) -> list[Message]:
        return [pcm]

    def flush(self) -> list[Message]:
        return [json.dumps({"action": "flush"})]

    def closing(self) -> list[Message]:
        return self.flush()

    def read(self, message: Message) -> tuple[list[Heard], list[Message]]:
        event = decode(message)
        if "error" in event:
            raise ServiceError(str(event["error"]))
        if "text" not in event and "status" in event:
            return [], []
        text = text_of(event, "text")
        if event.get("is_final"):
            return [Transcript(text)], []
        return [Partial(text)], []
