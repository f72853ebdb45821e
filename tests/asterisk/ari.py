"""Asterisk's REST interface, as far as the tests need it: place a Local call, and see everything that happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from tests.support.asterisk.asterisk import Asterisk

Event = dict[str, Any]
HEADERS = {"Authorization": aiohttp.encode_basic_auth("test", "test")}
CONNECT_TIMEOUT_S = 20.0


class Ari:
    """One connection, for all the tests, that is told of every event of every channel.

    It has an event loop and a thread of its own: each test's loop ends with the test, and Asterisk 22 hangs now and
    then when such connections come and go.
    """

    def __init__(self, url: str) -> None:
        self.events: list[Event] = []
        self._url = url
        self._changed = threading.Condition()
        self._connected = threading.Event()

    @classmethod
    @contextmanager
    def connected(cls, asterisk: Asterisk) -> Iterator[Ari]:
        ari = cls(f"http://127.0.0.1:{asterisk.http_port}")
        stop = asyncio.Event()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(ari._listen(stop),))
        thread.start()
        try:
            if not ari._connected.wait(CONNECT_TIMEOUT_S):
                raise TimeoutError(f"no connection to {ari._url}")
            yield ari
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()

    async def originate(self, endpoint: str, extension: str, context: str, formats: str, **variables: str) -> str:
        """Calls `endpoint`; on its answer `extension` goes on in `context`. Returns the channel's id.

        `formats` is the codec of a Local channel's two halves; Asterisk's own choice for them is 192 kHz.
        """
        where = {"endpoint": endpoint, "extension": extension, "context": context, "priority": "1", "formats": formats}
        async with (
            aiohttp.ClientSession(self._url, headers=HEADERS) as http,
            http.post("/ari/channels", params=where, json={"variables": variables}) as response,
        ):
            response.raise_for_status()
            channel: str = (await response.json())["id"]
            return channel

    async def hang_up(self, channel: str) -> None:
        """Ends the channel and waits until nothing of it is left, its recordings closed."""
        async with (
            aiohttp.ClientSession(self._url, headers=HEADERS) as http,
            http.delete(f"/ari/channels/{channel}") as response,
        ):
            response.raise_for_status()
        await self.until(lambda e: e["type"] == "ChannelDestroyed" and e["channel"]["id"] == channel, timeout_s=10)

    async def until(self, matches: Callable[[Event], bool], timeout_s: float, after: int = 0) -> Event:
        """The first event that matches, past (from index `after` of `events` on) or to come. Raises TimeoutError."""
        return await asyncio.to_thread(self._wait_for, matches, timeout_s, after)

    async def went_on(self, call: str, timeout_s: float = 15.0) -> dict[str, str]:
        """Waits for the dialplan to go on after this call; returns what it told of it."""
        event = await self.until(lambda e: e.get("eventname") == "WentOn" and e["userevent"]["Call"] == call, timeout_s)
        told: dict[str, str] = event["userevent"]
        return told

    def _wait_for(self, matches: Callable[[Event], bool], timeout_s: float, after: int) -> Event:
        found: list[Event] = []
        seen = after

        def find() -> bool:
            nonlocal seen
            found.extend(event for event in self.events[seen:] if matches(event))
            seen = len(self.events)
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(find, timeout_s):
                raise TimeoutError("Asterisk told of no such event")
        return found[0]

    async def _listen(self, stop: asyncio.Event) -> None:
        async with (
            aiohttp.ClientSession(self._url, headers=HEADERS) as http,
            http.ws_connect("/ari/events?app=tests&subscribeAll=true") as websocket,
        ):
            reader = asyncio.create_task(self._read(websocket))
            self._connected.set()
            await stop.wait()
            reader.cancel()
            await asyncio.wait([reader])

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in websocket:
            with self._changed:
                self.events.append(message.json())
                self._changed.notify_all()
