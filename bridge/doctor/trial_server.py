"""A throw-away server for one trial call: it takes the call as Talkspurt does, and then fails in one way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Final

from aiohttp import web

from bridge.line.audiosocket import FRAME_MS, Kind, encode

FAULT_AFTER_S: Final = 0.5
"""How long a call goes well before the fault."""
_SILENCE: Final = encode(Kind.SLIN8, bytes(320))


class Fault(StrEnum):
    """What the server does wrong."""

    NONE = "works"
    DOWN = "is down"
    FULL = "is full"
    REFUSED = "does not take the audio"
    KILLED = "is killed in mid-call"
    HUNG = "hangs in mid-call"


class TrialServer:
    """Listens for one call. `http` and `audio` are where."""

    def __init__(self, fault: Fault, host: str) -> None:
        self._fault = fault
        self._host = host
        self.fault_s: float | None = None
        """When the fault happened to a call in progress."""
        self.taken = False
        """Whether Asterisk has connected."""
        self._hangs = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Takes calls while the context lasts. Raises OSError."""
        app = web.Application()
        app.router.add_post("/v1/calls", self._announce)
        app.router.add_get("/v1/calls/{id}/next", self._next)
        app.router.add_get("/health", self._health)
        async with AsyncExitStack() as stack:
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            stack.push_async_callback(self._runner.cleanup)
            site = web.TCPSite(self._runner, self._host, 0)
            await site.start()
            audio = await asyncio.start_server(self._carry, self._host, 0)
            stack.callback(audio.close)
            self.http = f"{self._host}:{self._runner.addresses[0][1]}"
            self.audio = f"{self._host}:{audio.sockets[0].getsockname()[1]}"
            if self._fault is Fault.DOWN:
                await site.stop()
            if self._fault in (Fault.DOWN, Fault.REFUSED):
                audio.close()
            yield

    async def _announce(self, request: web.Request) -> web.Response:
        if self._fault is Fault.FULL:
            return web.json_response({"error": {"message": "no calls are taken: a trial"}}, status=503)
        return web.json_response({"expires_in": 60}, status=201)

    async def _health(self, request: web.Request) -> web.Response:
        if self._hangs:
            await asyncio.sleep(60)
        return web.json_response({"status": "ok"})

    async def _next(self, request: web.Request) -> web.Response:
        if self._hangs:
            await asyncio.sleep(60)
        return web.Response(text="")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends silence for a while, and then does what the fault is."""
        self.taken = True
        try:
            until_s = time.monotonic() + FAULT_AFTER_S
            while time.monotonic() < until_s:
                writer.write(_SILENCE)
                await asyncio.sleep(FRAME_MS / 1000)
            self.fault_s = time.monotonic()
            match self._fault:
                case Fault.HUNG:
                    self._hangs = True
                    await asyncio.sleep(60)
                case Fault.KILLED:
                    await self._runner.cleanup()
                case _:
                    writer.write(encode(Kind.HANGUP))
        except ConnectionError:
            pass
        finally:
            writer.close()
