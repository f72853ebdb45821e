"""The speech endpoints on a real socket, for tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from engine.api import add_speech_routes
from engine.api.service import SPEECH
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import Engine
from engine.web.server import create_runner


class SpeechServer:
    """A running server and a client session to it."""

    def __init__(self, runner: web.AppRunner, session: aiohttp.ClientSession) -> None:
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        assert runner.app is not None
        self.service = runner.app[SPEECH]
        self.session = session
        self.runner = runner

    async def stop(self) -> None:
        """As on SIGTERM; the client's session stays."""
        await self.runner.cleanup()

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        """POST and read everything."""
        async with self.session.post(self.url + path, json=body, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, self.url + path, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def speech(self, text: str = "Hello there.", **fields: Any) -> Answer:
        return await self.post("/v1/audio/speech", {"input": text, **fields})


class Answer:
    """A whole answer."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[str]:
        """What each server-sent event holds."""
        blocks = self.body.decode().split("\n\n")
        assert blocks[-1] == "", "the last event is not ended"
        assert all(block.startswith("data: ") and "\n" not in block for block in blocks[:-1])
        return [block.removeprefix("data: ") for block in blocks[:-1]]


@asynccontextmanager
async def speech_server(
    engine: Engine, folder: Path, host: str = "127.0.0.1", port: int = 0, **settings: Any
) -> AsyncIterator[SpeechServer]:
    """Serve `engine`, with `folder` for stored voices, as `serve` does."""
    app = web.Application()
    values = {"voices_dir": folder, **settings}
    add_speech_routes(app, engine, SpeechSettings.model_validate(values), VoiceSettings.model_validate(values))
    runner = create_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        async with aiohttp.ClientSession() as session:
            yield SpeechServer(runner, session)
    finally:
        await runner.cleanup()
