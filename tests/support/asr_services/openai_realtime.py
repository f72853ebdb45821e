"""OpenAI's Realtime API in transcription mode."""

from __future__ import annotations

import base64
import json

from aiohttp import web

from tests.support.asr_services.service import AsrService, Connection, Hearing


class OpenAiService(AsrService):
    """`/v1/realtime` of OpenAI in transcription mode, its own detector on."""

    name, path = "openai-realtime", "/v1/realtime"
    rate_hz = 24_000
    end_ms = 300

    def admit(self, request: web.Request) -> None:
        if dict(request.query) != {"intent": "transcription"}:
            raise web.HTTPBadRequest(text=str(dict(request.query)))

    async def opened(self, connection: Connection) -> None:
        await connection.tell({"type": "session.created", "event_id": "event_1", "session": {}})

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        match json.loads(text):
            case {"type": "session.update", "session": {"type": "transcription", "audio": {"input": told}}}:
                assert told["format"] == {"type": "audio/pcm", "rate": self.rate_hz}
                assert told["turn_detection"]["type"] == "server_vad"
            case {"type": "input_audio_buffer.append", "audio": str(audio)}:
                connection.texts.pop()
                await self._audio(connection, hearing, base64.b64decode(audio, validate=True))
            case event:
                raise AssertionError(f"unknown event: {event}")
        return False

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        before = hearing.words
        began, ended = hearing.push(pcm)
        buffer, item = "input_audio_buffer", {"item_id": f"item_{id(connection)}_{hearing.utterances}"}
        transcription = "conversation.item.input_audio_transcription"
        if began:
            await connection.tell({"type": f"{buffer}.speech_started", "audio_start_ms": hearing.started_ms, **item})
        if ended:
            await connection.tell({"type": f"{buffer}.speech_stopped", "audio_end_ms": hearing.stopped_ms, **item})
            await connection.tell({"type": f"{buffer}.committed", "previous_item_id": None, **item})
            text = hearing.final()
            await connection.tell({"type": f"{transcription}.completed", "transcript": text, **item})
        elif hearing.words != before:
            await connection.tell({"type": f"{transcription}.delta", "delta": hearing.words[len(before) :], **item})
