"""A WebSocket of Asterisk's on its way to a worker: when it goes, what goes along, and what becomes of the others."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from bridge.line.sparse_log import SparseLog
from bridge.line.websocket import command
from bridge.workers import passing
from bridge.workers.passing import MAX_BYTES, Passing

PATIENCE_S = 30


class Hands:
    """Takes connections, or none."""

    def __init__(self, takes=True):
        self.takes = takes
        self.taken = asyncio.Queue()
        self.closed = asyncio.Event()

    def hand_over(self, descriptor, *, data):
        if self.takes:
            with socket.socket(fileno=descriptor) as connection:
                self.taken.put_nowait((connection.dup(), data))
                connection.detach()
        return self.takes


@asynccontextmanager
async def upgraded(hands, *, answer=b"101", rest=b"", send_buffer=None, strangers=None):
    """The peer of a connection to which the answer was written, and of which the server has read `rest`."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    if send_buffer:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, near)
    transport.write(answer)

    class Noticed(Passing):
        def connection_lost(self, error):
            super().connection_lost(error)
            hands.closed.set()

    protocol = Noticed(hands.hand_over, strangers or SparseLog())
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if rest:
        protocol.data_received(rest)
    with far:
        yield far
    transport.abort()


async def received(peer, end=b""):
    """Returns all that comes, up to what is to be its end."""
    data = b""
    async with asyncio.timeout(PATIENCE_S):
        while chunk := await asyncio.get_running_loop().sock_recv(peer, 65_536):
            data += chunk
            if end and data.endswith(end):
                break
    return data


async def test_it_goes_with_what_has_come_once_the_answer_has_left():
    hands, answer = Hands(), b"a" * 500_000
    async with upgraded(hands, answer=answer, rest=b"event", send_buffer=4_096) as peer:
        await asyncio.sleep(0)
        assert hands.taken.empty()
        reading = asyncio.create_task(received(peer))
        connection, data = await asyncio.wait_for(hands.taken.get(), PATIENCE_S)
        assert data == b"event"
        with connection:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(connection, b"heard")
        assert await reading == answer + b"heard"


async def test_the_loop_does_not_turn_for_a_peer_that_reads_nothing_and_is_given_up(monkeypatch):
    monkeypatch.setattr(passing, "WRITE_S", 0.05)
    hands, turns = Hands(), 0
    loop = asyncio.get_running_loop()
    select = loop._selector.select

    def counted(timeout):
        nonlocal turns
        turns += 1
        return select(timeout)

    monkeypatch.setattr(loop._selector, "select", counted)
    async with upgraded(hands, answer=b"a" * 500_000, send_buffer=4_096) as peer:
        await asyncio.get_running_loop().sock_sendall(peer, b"more and more")
        await asyncio.wait_for(hands.closed.wait(), PATIENCE_S)
    assert hands.taken.empty()
    assert turns < 100


async def test_what_comes_meanwhile_is_the_workers_to_read():
    hands = Hands()
    async with upgraded(hands, answer=b"a" * 500_000, send_buffer=4_096) as peer:
        await asyncio.get_running_loop().sock_sendall(peer, b"event")
        for _ in range(5):
            await asyncio.sleep(0)
        reading = asyncio.create_task(received(peer))
        connection, data = await asyncio.wait_for(hands.taken.get(), PATIENCE_S)
        with connection:
            assert (data, connection.recv(100)) == (b"", b"event")
        await reading


@pytest.mark.parametrize(("takes", "rest"), [(False, b"event"), (True, b"x" * (MAX_BYTES + 1))])
async def test_a_call_that_nobody_takes_goes_back_to_its_dialplan(takes, rest):
    hands, strangers = Hands(takes), SparseLog()
    with capture_logs() as log:
        for _ in range(5):
            async with upgraded(hands, rest=rest, strangers=strangers) as peer:
                await asyncio.get_running_loop().sock_sendall(peer, b"audio")
                assert await received(peer, command("HANGUP")) == b"101" + command("HANGUP")
                peer.shutdown(socket.SHUT_WR)
                assert await received(peer) == b"", "it is closed, not reset"
    assert hands.taken.empty()
    assert len(log) == 1
