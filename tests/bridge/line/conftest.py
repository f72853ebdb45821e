"""An AudioSocket server on a real socket, whose calls greet."""

from __future__ import annotations

import asyncio

import pytest

from bridge.line.call import Call, CallObserver
from bridge.line.connection import CallRefused
from bridge.line.server import AudioSocketServer
from engine.speech import Style
from tests.support.fakes import FakeEngine

GREETING = "Hello."


class Bridge(CallObserver):
    """A running server; its calls greet with `GREETING`."""

    def __init__(self):
        self.engine = FakeEngine()
        self.calls = []
        self.full = False
        self.server = AudioSocketServer(self._admit)
        self.ended = asyncio.Queue()

    def _admit(self, call_id, wire):
        if self.full:
            raise CallRefused("full")
        call = Call(call_id, wire, self.engine, Style())
        call.observe(self)
        self.calls.append(call)
        call.say(GREETING)
        return call

    def call_ended(self, call):
        self.calls.remove(call)
        self.ended.put_nowait(call.end_reason)

    async def next_end(self):
        return await asyncio.wait_for(self.ended.get(), 30)


@pytest.fixture
async def bridge():
    bridge = Bridge()
    bridge.port = await bridge.server.start("127.0.0.1", 0)
    yield bridge
    await bridge.server.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not bridge.server.connections
    assert bridge.engine.streams == 0
