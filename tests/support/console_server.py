"""A server with the console, in this process or another, and callers whose calls go on while the page is looked at."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp

from bridge.app import App
from bridge.line.audiosocket import Kind
from tests.support.fakes import Asterisk
from tests.support.waiting import until

TIMEOUT: Final = aiohttp.ClientTimeout(total=20)
PATIENCE_S: Final = 20.0
TONE: Final = b"".join(struct.pack("<h", int(9_000 * math.sin(0.3 * n))) for n in range(160))


class Caller:
    """A call over AudioSocket that goes on while the page is looked at."""

    def __init__(self, server: ConsoleServer, peer: Asterisk) -> None:
        self.server, self.peer, self.id = server, peer, str(peer.id)
        self.tone = False
        self.frames = 0
        """Sent so far."""
        self._tasks = [asyncio.create_task(work) for work in (self._talk(), self._hear())]

    async def _talk(self) -> None:
        while True:
            self.peer.send(Kind.SLIN8, TONE if self.tone else bytes(320))
            self.frames += 1
            await asyncio.sleep(0.02)

    async def _hear(self) -> None:
        while await self.peer.receive() is not None:
            pass

    async def goes_on(self, frames: int) -> None:
        """Lets so many frames pass."""
        end = self.frames + frames
        await until(lambda: self.frames >= end)

    async def says(self, text: str) -> None:
        """Speaks, and is recognised."""
        await self.server.post(f"/v1/calls/{self.id}/events", {"type": "input_audio_buffer.speech_started"})
        await self.server.post(
            f"/v1/calls/{self.id}/events",
            {"type": "conversation.item.input_audio_transcription.completed", "transcript": text},
        )

    async def hang_up(self) -> None:
        """Ends the call, and waits until the server knows."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.peer.reset()
        await self.server.until_told(self.id, state="ended")


class ConsoleServer:
    """A server, and a session that has its key."""

    def __init__(self, url: str, audiosocket_port: int, http: aiohttp.ClientSession, app: App | None = None) -> None:
        self.url, self.http, self.app = url, http, app
        self._audiosocket_port = audiosocket_port

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, audiosocket_port: int, key: str) -> AsyncIterator[ConsoleServer]:
        """A server that runs as a process."""
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT) as http:
            yield cls(url, audiosocket_port, http)

    @classmethod
    @asynccontextmanager
    async def of(cls, app: App, key: str) -> AsyncIterator[ConsoleServer]:
        """A server of this process."""
        async with cls.at(f"http://127.0.0.1:{app.http_port}", app.audiosocket_port, key) as server:
            server.app = app
            yield server

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as response:
            return await response.json()

    async def post(self, path: str, body: object = None) -> None:
        async with self.http.post(self.url + path, json=body) as response:
            assert response.status < 300, await response.text()

    async def call(self, call_id: UUID | None = None, **variables: str) -> Caller:
        """An announced call that is in progress."""
        call_id = call_id or uuid4()
        await self.post("/v1/calls", {"id": str(call_id), **variables})
        caller = Caller(self, await Asterisk.connect(self._audiosocket_port, call_id))
        await self.until_told(caller.id, state="active")
        return caller

    async def until_told(self, call_id: str, **expected: object) -> None:
        """Waits until the server tells this of a call."""
        async with asyncio.timeout(PATIENCE_S):
            while not expected.items() <= (await self.get(f"/v1/calls/{call_id}")).items():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
