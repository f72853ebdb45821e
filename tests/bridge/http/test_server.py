"""The HTTP server's connections: how many, and how long they may say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.http import unreadable_requests
from bridge.http.server import HEADERS_S, HttpServer
from bridge.line.sparse_log import SparseLog
from engine.web.server import KEEP_ALIVE_S
from tests.support.loop_clock import LoopClock

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n"
LIMIT = 3


class Client:
    """A client that writes what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> bytes:
        """Returns what comes up to the end of the headers, or of the connection."""
        with_headers = asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 30)
        try:
            return await with_headers
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def closed(self) -> None:
        """Returns once the server has closed the connection."""
        await asyncio.wait_for(self._reader.read(), 30)

    def close(self) -> None:
        self._writer.close()


class Site:
    """A server and its clients."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[Client] = []

    async def connect(self, data: bytes = b"") -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        self._clients.append(client)
        client.write(data)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


async def _answer(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(text="hello")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    app = web.Application()
    app.router.add_route("*", "/", _answer)
    server = HttpServer(app, LIMIT)
    site = Site(await server.start("127.0.0.1", 0))
    yield site
    site.close()
    await server.close(0.1)


async def test_a_connection_too_many_is_told_so_and_closed_and_there_is_room_again(site: Site) -> None:
    clients = [await site.connect(REQUEST) for _ in range(LIMIT)]
    for client in clients:
        assert b"200 OK" in await client.answer()
    late = await site.connect()
    answer = await late.answer()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in answer
    await late.closed()
    clients[0].close()
    async with asyncio.timeout(30):
        while b"200 OK" not in await (await site.connect(REQUEST)).answer():
            pass  # until the server has seen that one is gone
    clients[1].write(REQUEST)
    assert b"200 OK" in await clients[1].answer(), "the others are served as before"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", REQUEST[:-2]])
async def test_headers_that_do_not_come_in_time_are_not_waited_for(site: Site, sent: bytes) -> None:
    with LoopClock() as clock:
        silent = await site.connect(sent)
        client = await site.connect(REQUEST)
        assert b"200 OK" in await client.answer()
        clock.advance(HEADERS_S + 1)
        await silent.closed()
        client.write(REQUEST)
        assert b"200 OK" in await client.answer(), "whoever has sent a request may wait before the next"


@pytest.mark.parametrize("sent", [b"GET / HT", REQUEST[:-2]])
async def test_the_headers_of_another_request_are_not_waited_for_either(site: Site, sent: bytes) -> None:
    with LoopClock() as clock:
        client = await site.connect(REQUEST + sent)
        assert b"200 OK" in await client.answer()
        client.write(sent[-1:])
        await (await site.connect(REQUEST)).answer()  # by now the server has read what came before
        clock.advance(HEADERS_S + 1)
        await client.closed()


async def test_a_request_may_take_longer_than_its_headers(site: Site) -> None:
    with LoopClock() as clock:
        client = await site.connect(UPLOAD + b"\r\n")
        assert b"100 Continue" in await client.answer()
        client.write(b"a" * 9)
        await (await site.connect(REQUEST)).answer()
        clock.advance(HEADERS_S + 1)
        client.write(b"a")
        assert b"200 OK" in await client.answer()


async def test_an_idle_connection_is_closed(site: Site) -> None:
    with LoopClock() as clock:
        client = await site.connect(REQUEST)
        assert b"200 OK" in await client.answer()
        clock.advance(KEEP_ALIVE_S + 1)
        await client.closed()


async def test_requests_that_are_no_http_get_a_log_line_a_second(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable_requests.FILTER, "log", SparseLog(lambda: 0.0))
    with capture_logs() as lines:
        for _ in range(LIMIT):
            client = await site.connect(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1_000)
            assert b" 400 " in await client.answer()
            await client.closed()
    assert not caplog.records
    unread = [line for line in lines if line["event"] == "request cannot be read"]
    assert len(unread) == 1


async def test_a_server_that_leaves_its_port_answers_who_is_there_and_sends_them_away() -> None:
    """Their next request reaches whoever listens there then."""
    app = web.Application()
    app.router.add_route("*", "/", _answer)
    server = HttpServer(app, LIMIT)
    site = Site(await server.start("127.0.0.1", 0))
    try:
        idle, busy, new = await site.connect(REQUEST), await site.connect(UPLOAD + b"\r\n"), await site.connect()
        assert b"200 OK" in await idle.answer()
        assert b"100 Continue" in await busy.answer()
        server.retire()
        await idle.closed()
        busy.write(b"0123456789")
        new.write(REQUEST)
        for client in (busy, new):
            answer = await client.answer()
            assert b"200 OK" in answer
            assert b"Connection: close" in answer
            await client.closed()
        with pytest.raises(ConnectionRefusedError):
            await site.connect()
    finally:
        site.close()
        await server.close(0.0)
