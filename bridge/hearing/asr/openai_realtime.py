"""OpenAI's Realtime API in transcription mode, as OpenAI, speaches, together.ai and others serve it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, Final

from bridge.hearing.asr.item_order import ItemOrder
from bridge.hearing.asr.protocol import AsrOptions, AsrProtocol, Message, Read, ServiceError, decode
from bridge.hearing.events import (
    INBOUND_TYPES,
    MAX_ID_CHARS,
    BadEvent,
    EventReader,
    Heard,
    InboundEvent,
    Transcript,
    parse,
)

_COMMITTED: Final = "input_audio_buffer.committed"
_FAILED: Final = "conversation.item.input_audio_transcription.failed"


class OpenAiRealtime(AsrProtocol):
    """It sends `session.update` and `input_audio_buffer.append`, and reads speech and transcription events."""

    path = "/v1/realtime"
    speech_events = True
    default_rate_hz = 24_000  # the only rate OpenAI itself takes

    def __init__(self, options: AsrOptions, offset_ms: int = 0, *, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(options, offset_ms)
        self._now_s = now_s
        self._reader = EventReader(offset_ms)
        self._order = ItemOrder()

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
            inbound = parse(event)
            return [*self._order.due(self._now_s()), *self._read(inbound)], []
        if kind == _COMMITTED:
            self._order.committed(self._now_s(), _id(event, "item_id"), _id(event, "previous_item_id"))
        elif kind == _FAILED and (others := self._order.came(self._now_s(), _id(event, "item_id"), None)):
            return [*others], []
        elif kind in ("error", _FAILED):
            error = event.get("error")
            raise ServiceError(str(error.get("message", error)) if isinstance(error, dict) else str(error))
        waited = self._order.due(self._now_s())
        return ([*waited], []) if waited else None  # session.created and the like tell nothing

    def _read(self, event: InboundEvent) -> list[Heard]:
        heard = self._reader.read(event)
        if isinstance(heard, Transcript):
            return [*self._order.came(self._now_s(), event.item_id, heard)]
        return [heard] if heard is not None else []


def _id(event: dict[str, Any], key: str) -> str:
    """Returns an item's id, empty if there is none. Raises BadEvent if it is no text, or as long as no id is."""
    value = event.get(key) or ""
    if not isinstance(value, str) or len(value) > MAX_ID_CHARS:
        raise BadEvent(f"{key}: a short text expected")
    return value
