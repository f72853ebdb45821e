"""vLLM's `/v1/realtime`: it sends transcription deltas only, and the client opens and closes each utterance."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Final

from bridge.hearing.asr.backlog import WAITING_MS
from bridge.hearing.asr.protocol import AsrOptions, AsrProtocol, Message, Read, ServiceError, SessionLost, decode
from bridge.hearing.events import MAX_TEXT_CHARS, BadEvent, Partial, Transcript

_COMMIT: Final = json.dumps({"type": "input_audio_buffer.commit"})
_COMMIT_FINAL: Final = json.dumps({"type": "input_audio_buffer.commit", "final": True})
_HARMLESS: Final = ("invalid_json", "invalid_audio", "unknown_event")
"""The errors that concern one message. After any other the generation is over, and its `done` will not come."""


class VllmRealtime(AsrProtocol):
    """One generation an utterance: `commit` starts it, `commit final` ends it, `transcription.done` closes it.

    When it closes, the server throws away whatever audio it has queued, so what comes between our `commit final` and
    its `done` is held back and follows the next `commit`.
    """

    path = "/v1/realtime"
    speech_events = False
    default_rate_hz = 16_000
    chunk_ms = 40

    def __init__(self, options: AsrOptions, offset_ms: int = 0) -> None:
        super().__init__(options, offset_ms)
        self._text = ""
        self._held: deque[bytes] | None = None
        """The audio of the next utterance while this one is being finished, the newest of it; else None."""

    def opening(self) -> list[Message]:
        return [json.dumps({"type": "session.update", "model": self.options.model}), _COMMIT]

    def audio(self, pcm: bytes) -> list[Message]:
        if self._held is not None:
            self._held.append(pcm)
            return []
        return [json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})]

    def flush(self) -> list[Message]:
        if self._held is not None:
            return []
        self._held = deque(maxlen=WAITING_MS // self.chunk_ms)
        return [_COMMIT_FINAL]

    def closing(self) -> list[Message]:
        return [_COMMIT_FINAL]

    def read(self, message: Message) -> Read | None:
        event = decode(message)
        match event.get("type"):
            case "transcription.delta":
                self._text = (self._text + str(event.get("delta", "")))[:MAX_TEXT_CHARS]
                return [Partial(self._text.strip())], []
            case "transcription.done":
                text = str(event.get("text") or self._text).strip()
                self._text = ""
                held, self._held = self._held or (), None
                replies: list[Message] = [_COMMIT]
                for pcm in held:
                    replies += self.audio(pcm)
                return [Transcript(text)], replies
            case "error" if event.get("code") in _HARMLESS:
                raise ServiceError(str(event.get("error")))
            case "error":
                raise SessionLost(str(event.get("error")))
            case str():
                return None
        raise BadEvent("type: text expected")
