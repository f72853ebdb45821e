"""OpenAI's Realtime API in transcription mode, as OpenAI, speaches, together.ai and others serve it."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from bridge.hearing.asr.protocol import AsrOptions, AsrProtocol, Message, Read, ServiceError, decode
from bridge.hearing.events import INBOUND_TYPES, BadEvent, EventReader, parse

_FAILED: Final = "conversation.item.input_audio_transcription.failed"


class OpenAiRealtime(AsrProtocol):
    """It sends `session.update` and `input_audio_buffer.append`, and reads speech and transcription events."""

    path = "/v1/realtime"
    speech_events = True
    default_rate_hz = 24_000  # the only rate OpenAI itself takes

    def __init__(self, options: AsrOptions, offset_ms: int = 0) -> None:
        super().__init__(options, offset_ms)
        self._reader = EventReader(offset_ms)

    def query(self) -> dict[str, str]:
        return {"intent": "transcription"}

    def opening(self) -> list[Message]:
        transcription: dict[str, Any] = {}
        if self.options.model:
            transcription["model"] = self.options.model
        if self.options.language:
            transcription["language"] = self.options.language
        audio_input = {
            "format": {"type": "audio/pcm", "rate": self.sample_rate_hz},
            "transcription": transcription,
            "turn_detection": {"type": "server_vad"},
        }
        session = {"type": "transcription", "audio": {"input": audio_input}}
        return [json.dumps({"type": "session.update", "session": session})]

    def audio(self, pcm: bytes) -> list[Message]:
        return [json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})]

    def read(self, message: Message) -> Read | None:
        event = decode(message)
        kind = event.get("type")
        if not isinstance(kind, str):
            raise BadEvent("type: text expected")
        if kind in INBOUND_TYPES:
            heard = self._reader.read(parse(event))
            return ([heard] if heard is not None else []), []
        if kind in ("error", _FAILED):
            error = event.get("error")
            raise ServiceError(str(error.get("message", error)) if isinstance(error, dict) else str(error))
        return None  # session.created, input_audio_buffer.committed and the like
