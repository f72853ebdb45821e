"""A recognition service as a conversation meets it: OpenAI's Realtime protocol over a WebSocket, a model behind."""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import count
from typing import Any

from aiohttp import web

from bridge.hearing.asr.embedded import EmbeddedAsr
from bridge.hearing.asr.recognizer_pool import ModelName, RecognizerPool
from bridge.hearing.events import Heard, Partial, SpeechStarted, SpeechStopped, Transcript

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class RecognitionService:
    """`url` while it runs."""

    def __init__(self, model: ModelName = "whisper") -> None:
        self.url = ""
        self._sockets: set[web.WebSocketResponse] = set()
        self._recognizer = RecognizerPool(model)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> RecognitionService:
        await self._recognizer.start()
        app = web.Application()
        app.router.add_get("/v1/realtime", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(socket.close() for socket in tuple(self._sockets)))
        assert self._runner is not None
        await self._runner.cleanup()
        await self._recognizer.close()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        session = _Session(out)
        asr = EmbeddedAsr(self._recognizer, session.heard)
        tasks = [asyncio.create_task(asr.run()), asyncio.create_task(self._send(socket, out))]
        rate_hz = 24_000
        try:
            async for message in socket:
                event = json.loads(message.data)
                if event["type"] == "session.update":
                    rate_hz = event["session"]["audio"]["input"]["format"]["rate"]
                elif event["type"] == "input_audio_buffer.append":
                    asr.push(base64.b64decode(event["audio"]), rate_hz)
        finally:
            self._sockets.discard(socket)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse, out: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            await socket.send_json(await out.get())


class _Session:
    """What is heard, in OpenAI's words."""

    def __init__(self, out: asyncio.Queue[dict[str, Any]]) -> None:
        self._out = out
        self._ids = count(1)
        self._item = ""
        self._stopped: list[str] = []
        self._told = ""

    def heard(self, event: Heard) -> None:
        match event:
            case SpeechStarted(start_ms):
                self._item, self._told = f"item_{next(self._ids)}", ""
                self._put("input_audio_buffer.speech_started", self._item, audio_start_ms=start_ms)
            case SpeechStopped(end_ms):
                self._stopped.append(self._item)
                self._put("input_audio_buffer.speech_stopped", self._item, audio_end_ms=end_ms)
            case Partial(text) if text.startswith(self._told):
                self._put(f"{_TRANSCRIPTION}.delta", self._item, delta=text[len(self._told) :])
                self._told = text
            case Transcript(text):
                self._put(f"{_TRANSCRIPTION}.completed", self._stopped.pop(0), transcript=text)

    def _put(self, kind: str, item_id: str, **fields: Any) -> None:
        self._out.put_nowait({"type": kind, "item_id": item_id, **fields})
