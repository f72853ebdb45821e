"""Asterisk's REST interface, as far as the tests need it: place a Local call, and see everything that happens."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from tests.asterisk.asterisk import Asterisk

Event = dict[str, Any]
HEADERS = {"Authorization": aiohttp.encode_basic_auth("test", "test")}


class Ari:
    """A connection that is told of every event of every channel."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.events: list[Event] = []
        self._http = http
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def connect(cls, asterisk: Asterisk) -> AsyncIterator[Ari]:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{asterisk.http_port}", headers=HEADERS) as http:
            ari = cls(http)
            name = f"tests-{uuid.uuid4()}"  # of its own: Asterisk may still be taking the last test's down
            async with http.ws_connect(f"/ari/events?app={name}&subscribeAll=true") as websocket:
                reader = asyncio.create_task(ari._read(websocket))
                yield ari
                reader.cancel()
                with suppress(asyncio.CancelledError):
                    await reader

    async def originate(self, endpoint: str, extension: str, context: str, formats: str, **variables: str) -> str:
        """Calls `endpoint`; on its answer `extension` goes on in `context`. Returns the channel's id.

        `formats` is the codec of a Local channel's two halves; Asterisk's own choice for them is 192 kHz.
        """
        where = {"endpoint": endpoint, "extension": extension, "context": context, "priority": "1", "formats": formats}
        async with self._http.post("/ari/channels", params=where, json={"variables": variables}) as response:
            response.raise_for_status()
            channel: str = (await response.json())["id"]
            return channel

    async def hang_up(self, channel: str) -> None:
        """Ends the channel and waits until nothing of it is left, its recordings closed."""
        async with self._http.delete(f"/ari/channels/{channel}") as response:
            response.raise_for_status()
        await self.until(lambda e: e["type"] == "ChannelDestroyed" and e["channel"]["id"] == channel, timeout_s=10)

    async def until(self, matches: Callable[[Event], bool], timeout_s: float) -> Event:
        """The first event, past or to come, that matches. Raises TimeoutError."""
        seen = 0
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events[seen:]:
                    seen += 1
                    if matches(event):
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def went_on(self, call: str, timeout_s: float = 15.0) -> dict[str, str]:
        """Waits for the dialplan to go on after this call; returns what it told of it."""
        event = await self.until(
            lambda e: e["type"] == "ChannelUserevent" and e["eventname"] == "WentOn" and e["userevent"]["Call"] == call,
            timeout_s,
        )
        told: dict[str, str] = event["userevent"]
        return told

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in websocket:
            self.events.append(message.json())
            self._changed.set()
