"""Deepgram's live transcription, Nova and Flux."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from aiohttp import web

from tests.support.asr_services.service import AsrService, Connection, Hearing

KEY = "k"


class DeepgramService(AsrService):
    """`/v1/listen`: key and format in the request; hangs up on who sends neither audio nor KeepAlive."""

    name, path = "deepgram", "/v1/listen"
    settings = {"asr_api_key": KEY, "asr_model": "nova-3", "asr_language": "en"}  # noqa: RUF012
    end_ms = 300
    patience_s = 10.0
    query = {  # noqa: RUF012
        "encoding": "linear16", "sample_rate": "16000", "channels": "1", "model": "nova-3", "language": "en",
        "interim_results": "true", "vad_events": "true", "endpointing": "300", "utterance_end_ms": "1000",
        "punctuate": "true",
    }  # fmt: skip

    def admit(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Token {KEY}":
            raise web.HTTPUnauthorized
        if dict(request.query) != self.query:
            raise web.HTTPBadRequest(text=str(dict(request.query)))

    async def serve(self, connection: Connection) -> None:
        watch = asyncio.create_task(self._lose_patience(connection))
        try:
            await super().serve(connection)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _lose_patience(self, connection: Connection) -> None:
        while True:
            before = len(connection.audio) + len(connection.texts)
            await asyncio.sleep(self.patience_s)
            if len(connection.audio) + len(connection.texts) == before:
                await connection.socket.close(code=1011, message=b"NET-0001")
                return

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        match json.loads(text):
            case {"type": "KeepAlive"}:
                return False
            case {"type": "Finalize"}:
                await self._results(connection, hearing, hearing.final(), final=True, from_finalize=True)
                return False
            case {"type": "CloseStream"}:
                await connection.tell({"type": "Metadata", "request_id": "r", "duration": 0.0})
                return True
        raise AssertionError(f"unknown message: {text}")

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        before = hearing.words
        began, ended = hearing.push(pcm)
        if began:
            assert hearing.started_ms is not None
            started = {"type": "SpeechStarted", "channel": [0], "timestamp": hearing.started_ms / 1000}
            await connection.tell(started)
        if ended:
            await self._results(connection, hearing, hearing.final(), final=True, speech_final=True)
        elif hearing.words != before:
            await self._results(connection, hearing, hearing.words)

    async def _results(
        self, connection: Connection, hearing: Hearing, text: str, *, final: bool = False, **flags: bool
    ) -> None:
        start_ms = hearing.started_ms or hearing.stopped_ms
        results = {"type": "Results", "channel_index": [0, 1], "start": start_ms / 1000,
                   "duration": (hearing.at_ms - start_ms) / 1000, "is_final": final, "speech_final": False,
                   "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": []}]}}  # fmt: skip
        await connection.tell(results | flags)


class FluxService(DeepgramService):
    """`/v2/listen`: it decides on turns; a turn's window begins where the last turn ended."""

    path = "/v2/listen"
    settings = {"asr_api_key": KEY, "asr_model": "flux-general-en"}  # noqa: RUF012
    query = {"encoding": "linear16", "sample_rate": "16000", "model": "flux-general-en"}  # noqa: RUF012

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self._turn_start_ms = 0

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        assert json.loads(text) == {"type": "CloseStream"}, f"Flux knows no message {text}"
        return True

    async def opened(self, connection: Connection) -> None:
        self._turn_start_ms = 0
        await connection.tell({"type": "Connected", "request_id": "r", "sequence_id": 0})

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        before = hearing.words
        _, ended = hearing.push(pcm)
        if ended:
            await self._turn(connection, hearing, "EndOfTurn", hearing.final())
            self._turn_start_ms = hearing.at_ms
        elif hearing.words != before:
            await self._turn(connection, hearing, "Update" if before else "StartOfTurn", hearing.words)

    async def _turn(self, connection: Connection, hearing: Hearing, event: str, text: str) -> None:
        told = {"type": "TurnInfo", "request_id": "r", "sequence_id": 1, "event": event, "turn_index": 0,
                "audio_window_start": self._turn_start_ms / 1000, "audio_window_end": hearing.at_ms / 1000,
                "transcript": text, "words": [{"word": word, "confidence": 0.9} for word in text.split()],
                "end_of_turn_confidence": 0.5}  # fmt: skip
        await connection.tell(told)
