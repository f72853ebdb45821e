"""A connection that the supervisor has accepted, as its worker gets it."""

from __future__ import annotations

import asyncio
import json
import socket
from base64 import b64encode
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from bridge.line.audiosocket import Kind, encode
from bridge.line.call import Call
from bridge.line.server import AudioSocketServer
from bridge.line.websocket import Opcode, command
from bridge.workers.arriving import take
from engine.speech import Style
from tests.support.fakes import FakeEngine
from tests.support.waiting import eventually

PATIENCE_S = 30
CALL = uuid4()
MASK = bytes(4)  # it leaves everything as it is


def event(name, **fields):
    """A text message as Asterisk sends it."""
    told = json.dumps({"event": name, **fields}).encode()
    return bytes((0x80 | Opcode.TEXT, 0x80 | len(told))) + MASK + told


def media(data=b""):
    return {"media": str(CALL), "data": b64encode(data).decode()}


class Arrivals:
    """A worker's server, and what it makes of connections."""

    def __init__(self, max_unnamed):
        self.calls = asyncio.Queue()
        self.server = AudioSocketServer(self._admit, max_unnamed=max_unnamed)
        self.arrived = 0

    def _admit(self, call_id, wire):
        call = Call(call_id, wire, FakeEngine(), Style())
        self.calls.put_nowait(call)
        return call

    async def take(self, message):
        """Takes a connection. Returns its far end."""
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        await take(self.server, near, message, self._on_arrival)
        return far

    def _on_arrival(self):
        self.arrived += 1

    async def next(self):
        return await asyncio.wait_for(self.calls.get(), PATIENCE_S)


@asynccontextmanager
async def arrivals(max_unnamed=10):
    """Fails where an exception is lost in the event loop."""
    lost = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    arrivals = Arrivals(max_unnamed)
    try:
        yield arrivals
    finally:
        await arrivals.server.close()
    assert not lost


async def heard(far):
    """Returns all that comes until the end."""
    heard = b""
    with far:
        async with asyncio.timeout(PATIENCE_S):
            while data := await asyncio.get_running_loop().sock_recv(far, 65_536):
                heard += data
    return heard


async def test_over_audiosocket_the_worker_reads_the_uuid_itself():
    async with arrivals() as bench:
        with await bench.take({"elsewhere": 0}) as far:
            await asyncio.get_running_loop().sock_sendall(far, encode(Kind.UUID, CALL.bytes))
            assert (await bench.next()).id == CALL
            assert bench.arrived == len(bench.server.connections) == 1


@pytest.mark.parametrize("cut", [0, 5, 1_000])
async def test_over_a_websocket_what_the_supervisor_has_read_comes_first(cut):
    told = event("MEDIA_START", format="slin16") + event("DTMF_END", digit="7")
    async with arrivals() as bench:
        with await bench.take(media(told[:cut])) as far:
            await asyncio.get_running_loop().sock_sendall(far, told[cut:])
            call = await bench.next()

            async def pressed() -> bool:
                return call.dtmf == "7"

            await eventually(pressed, PATIENCE_S)
            assert call.id == CALL


async def test_one_for_which_there_is_no_room_goes_back_to_its_dialplan_whatever_has_come_on_it():
    async with arrivals(max_unnamed=0) as bench:
        far = await bench.take(media(event("MEDIA_START", format="slin")))
        assert await heard(far) == command("HANGUP")
        assert bench.calls.empty()
        assert bench.arrived == 1
        assert not bench.server.connections
