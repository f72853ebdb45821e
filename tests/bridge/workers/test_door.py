"""The port of a server with workers: who is handed over, with which id, and who is not."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from bridge.line.audiosocket import Kind, encode
from bridge.workers.door import Door
from tests.support.waiting import eventually

PATIENCE_S = 30


class Hands:
    """Takes what the door hands over."""

    def __init__(self, takes=True):
        self.takes = takes
        self.taken = asyncio.Queue()

    def hand_over(self, connection, call_id):
        if self.takes:
            self.taken.put_nowait((connection.dup(), call_id))
        return self.takes

    async def next(self):
        return await asyncio.wait_for(self.taken.get(), PATIENCE_S)


@asynccontextmanager
async def door(hands, max_waiting=10):
    opened = Door(hands.hand_over, max_waiting)
    port = await opened.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        opened.close()


async def test_a_connection_is_handed_over_with_its_uuid_which_is_left_for_the_worker_to_read():
    call_id, hands = uuid4(), Hands()
    message = encode(Kind.UUID, call_id.bytes)
    async with door(hands) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in message:  # however slowly it comes
            writer.write(bytes([byte]))
            await writer.drain()
        connection, told = await hands.next()
        assert told == call_id
        with connection:
            assert connection.recv(100) == message
            writer.write(b"x")
            await writer.drain()
            connection.settimeout(PATIENCE_S)
            assert await asyncio.to_thread(connection.recv, 100) == b"x", "one byte is readable again"
            connection.sendall(b"heard")
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b"heard"
        writer.close()


async def test_what_is_no_uuid_is_a_workers_to_refuse():
    hands = Hands()
    async with door(hands) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection, told = await hands.next()
        connection.close()
        assert told is None
        writer.close()


async def test_who_says_nothing_is_closed(monkeypatch):
    monkeypatch.setattr("bridge.workers.door.UUID_DEADLINE_S", 0.05)
    async with door(Hands()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()


async def test_no_more_wait_than_there_is_room_for():
    async with door(Hands(), max_waiting=1) as port:
        silent = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == encode(Kind.HANGUP)
        for each in (silent[1], writer):
            each.close()


async def test_a_call_that_no_worker_takes_goes_back_to_its_dialplan():
    async with door(Hands(takes=False)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Kind.UUID, uuid4().bytes))
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == encode(Kind.HANGUP)
        writer.close()


async def test_who_leaves_without_a_word_is_forgotten():
    hands, asked = Hands(), []
    async with door(hands, max_waiting=1) as port:
        with socket.create_connection(("127.0.0.1", port)):
            pass

        async def the_one_place_is_free() -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            asked.append(uuid4())
            writer.write(encode(Kind.UUID, asked[-1].bytes))
            first = asyncio.create_task(hands.taken.get()), asyncio.create_task(reader.read())
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
            taken = first[0].done() and first[0].result()[1] == asked[-1]
            for task in first:
                task.cancel()
            await asyncio.gather(*first, return_exceptions=True)
            writer.close()
            return taken

        await eventually(the_one_place_is_free, PATIENCE_S)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Kind.UUID, bytes(16)))
        connection, told = await hands.next()
        assert told == UUID(int=0), "and stays so"
        connection.close()
        writer.close()
