"""The Qwen3-ASR server's `/ws/transcribe`: binary 16 kHz PCM in, partial and final texts out."""

from __future__ import annotations

import json

from bridge.hearing.asr.protocol import AsrProtocol, Message, Read, ServiceError, decode, text_of
from bridge.hearing.events import Partial, Transcript


class Qwen3Asr(AsrProtocol):
    """It sends `{"action": "config" | "flush"}` and binary audio, and reads `{"text", "is_partial", "is_final"}`."""

    path = "/ws/transcribe"
    speech_events = False
    default_rate_hz = 16_000

    def opening(self) -> list[Message]:
        language = self.options.language or "auto"  # the server's own default is English
        return [json.dumps({"action": "config", "language": language})]

    def audio(self, pcm: bytes) -> list[Message]:
        return [pcm]

    def flush(self) -> list[Message]:
        return [json.dumps({"action": "flush"})]

    def closing(self) -> list[Message]:
        return self.flush()

    def read(self, message: Message) -> Read | None:
        event = decode(message)
        if "error" in event:
            raise ServiceError(str(event["error"]))
        if "code" in event:
            raise ServiceError(f"{event['code']}: {event.get('message')}")
        if "text" not in event and "status" in event:
            return None
        text = text_of(event, "text")
        if text == "[timeout]" or text.startswith("[error:"):  # this is how the server reports an error of its model
            raise ServiceError(text)
        if event.get("is_final"):
            return [Transcript(text)], []
        return [Partial(text)], []
