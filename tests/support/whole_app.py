"""The whole application on a fake engine, an HTTP client, and whoever calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from bridge.app import App
from bridge.config import Settings
from bridge.line.call import Call
from tests.support.fakes import Asterisk, CallEnd, FakeEngine
from tests.support.websocket_peer import WebSocketAsterisk

COMPLETED = "conversation.item.input_audio_transcription.completed"
QUICK = {"audiosocket_port": 0, "http_port": 0, "drain_timeout": 0, "apology": ""}

by_both_doors = pytest.mark.parametrize("peer", ["AudioSocket", "WebSocket"], indirect=True)
"""Runs a test once with a call over AudioSocket and once with one over a WebSocket."""


class Bench:
    """What `whole_app` gives a test."""

    def __init__(self, app: App, engine: FakeEngine, http: aiohttp.ClientSession) -> None:
        self.app = app
        self.engine = engine
        self.http = http
        self.url = f"http://127.0.0.1:{app.http_port}"

    async def call(self, **variables: str) -> Asterisk:
        """An answered call, registered first where variables are given."""
        call_id = uuid4()
        if variables:
            status, _ = await self.post("/v1/calls", {"id": str(call_id), **variables})
            assert status == 201
        return await self.call_named(str(call_id))

    async def call_named(self, call_id: str) -> Asterisk:
        """An answered call."""
        peer = await Asterisk.connect(self.app.audiosocket_port, UUID(call_id))
        peer.send_audio()
        while self.app.calls.find(peer.id) is None:
            await peer.receive()
        return peer

    async def websocket_call(self) -> WebSocketAsterisk:
        """An answered call, over a WebSocket."""
        peer = await WebSocketAsterisk.calling(self.http)
        while self.app.calls.find(peer.id) is None:
            await peer.receive()
        return peer

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and JSON of an answer; `body` is sent as JSON."""
        if body is not None:
            options["json"] = body
        async with self.http.post(path, **options) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as response:
            return await response.json()

    async def said(self, peer: Asterisk, text: str) -> None:
        """Tells the server that the caller has said something, as a recogniser elsewhere does."""
        event = {"type": COMPLETED, "transcript": text, "item_id": uuid4().hex}
        status, _ = await self.post(f"/v1/calls/{peer.id}/events", event)
        assert status == 202

    async def next(self, peer: Asterisk) -> str:
        """Where the dialplan is told to go."""
        async with self.http.get(f"/v1/calls/{peer.id}/next") as response:
            assert response.content_type == "text/plain"
            return await response.text()

    def call_of(self, peer: Asterisk) -> Call:
        """The server's side of a peer's call."""
        conversation = self.app.calls.find(peer.id)
        assert conversation is not None
        return conversation.call

    async def ended(self, peer: Asterisk) -> None:
        """Close the peer's side and wait until the server has noticed."""
        end = CallEnd(self.call_of(peer))
        await peer.close()
        await end.wait()


@asynccontextmanager
async def whole_app(**settings: Any) -> AsyncIterator[Bench]:
    """`talkspurt serve` in this process, with free ports and without an apology."""
    engine = FakeEngine()
    app = App(Settings.of(**{**QUICK, **settings}), engine)
    await app.start()
    engine.spoken.clear()  # the warm-up
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}") as http:
            yield Bench(app, engine, http)
    finally:
        await app.stop()
