"""A caller of an agent that a speech-to-speech service speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from bridge.conversation.talk import Talk
from bridge.dial.caller import Caller
from tests.support.realtime_service import RealtimeService
from tests.support.whole_app import Bench, whole_app

SETTINGS = {
    "brain": "realtime",
    "realtime_model": "gpt-realtime",
    "realtime_api_key": "k3y-of-realtime",
    "realtime_timeout_ms": 20_000,
    "echo_canceller": False,  # nothing echoes here, and it would have to learn that first
    "no_input_timeout_ms": 0,
}

SPEECH = (np.sin(np.arange(8_000 // 2) * 0.3) * 6_000).astype(np.int16)
"""Half a second."""


class Phone:
    """A caller in a call, and the server's side of it."""

    def __init__(self, bench: Bench, caller: Caller, talk: Talk) -> None:
        self.bench, self.caller, self.talk = bench, caller, talk
        self.told: list[dict[str, Any]] = []
        self._came = asyncio.Event()
        talk.journal.observers.append(self._tell)

    def _tell(self, event: dict[str, Any]) -> None:
        self.told.append(event)
        self._came.set()

    async def event(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The nth event of a kind, once it has come."""
        async with asyncio.timeout(20):
            while len(found := [event for event in self.told if event["type"] == kind]) < count:
                self._came.clear()
                await self._came.wait()
        return found[count - 1]

    def texts(self) -> list[tuple[str, str, bool]]:
        return [(entry.who, entry.text, entry.interrupted) for entry in self.talk.journal.entries]

    async def next(self) -> str:
        """Where the dialplan goes on, once the server has ended the call."""
        await asyncio.wait_for(self.caller.ended.wait(), 20)
        assert self.caller.by_server
        async with self.bench.http.get(f"/v1/calls/{self.caller.id}/next") as response:
            return await response.text()


@asynccontextmanager
async def phone(service: RealtimeService, **settings: Any) -> AsyncIterator[Phone]:
    """A call that has been answered."""
    async with whole_app(**{**SETTINGS, "realtime_url": service.url, **settings}) as bench:
        caller = Caller(keep_audio=True)
        await bench.post("/v1/calls", {"id": str(caller.id), "from": "12345", "name": "Ada"})
        await caller.connect("127.0.0.1", bench.app.audiosocket_port)
        while (talk := bench.app.calls.find(caller.id)) is None:  # noqa: ASYNC110  (nothing tells of it)
            await asyncio.sleep(0.01)
        try:
            yield Phone(bench, caller, talk)
        finally:
            caller.hang_up()
            await caller.ended.wait()
