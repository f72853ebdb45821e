"""The language model's client keeps connections and no cookies, follows no redirect, reads no event without an end."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from openai import APIConnectionError, APIStatusError
from yarl import URL

from bridge.brains.bounded_http import MAX_EVENT_BYTES, SLICE_BYTES, BadAnswer
from bridge.brains.llm_client import KEPT_S, MOST_KEPT, make_llm_client
from tests.support.certificate import make_certificate
from tests.support.serving import serving
from tests.support.turns_of_the_loop import TurnsOfTheLoop
from tests.support.waiting import eventually

REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "my secret"}], "stream": True}
PATIENCE_S = 120.0
"""A hundred connections take a busy machine longer than the client gives one by itself."""


async def test_neither_cookies_nor_redirects() -> None:
    asked: list[tuple[str, str | None]] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("Cookie")))
        return web.Response(status=307, headers={"Location": "/elsewhere", "Set-Cookie": "caller=ada"})

    async with serving(handle) as url, make_llm_client(f"{url}/v1", "k") as client:
        for _ in range(2):
            with pytest.raises(APIStatusError):
                await client.chat.completions.create(**REQUEST)
    assert asked == [("/tool/v1/chat/completions", None)] * 2


@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_without_an_end_is_given_up(status: int) -> None:
    sent, left = 0, asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await response.write(b"data: {}\n\ndata: ")
            while sent < 100 * MAX_EVENT_BYTES:
                await response.write(b"x" * 65_536 + b"\n")  # a line ends, the event does not
                sent += 65_536
        except (asyncio.CancelledError, ConnectionError):
            left.set()
            raise
        return response

    async with serving(handle) as url, make_llm_client(url, "k") as client:
        with pytest.raises(BadAnswer):
            async for _ in await client.chat.completions.create(**REQUEST):
                pass
        await left.wait()
    assert sent < 100 * MAX_EVENT_BYTES


async def test_short_events_are_read_however_many_and_however_they_are_cut() -> None:
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\r\n\r\n'
    stream = event * 8_000
    assert len(stream) > MAX_EVENT_BYTES

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for start in range(0, len(stream), 997):
            await response.write(stream[start : start + 997])
        await response.write(b"data: [DONE]\n\n")
        return response

    async with serving(handle) as url, make_llm_client(url, "k") as client:
        assert len([chunk async for chunk in await client.chat.completions.create(**REQUEST)]) == 8_000


async def test_much_at_once_is_read_a_little_at_a_time_and_others_get_their_turns() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b":\n\n" * 10_000 + b"data: [DONE]\n\n")
        return response

    async with serving(handle) as url, make_llm_client(url, "k") as client:
        response = await client.chat.completions.with_raw_response.create(**REQUEST)
        read = 0
        with TurnsOfTheLoop() as turns:
            async for piece in response.http_response.aiter_raw():
                assert len(piece) <= SLICE_BYTES
                read += len(piece)
    assert read > 30_000
    assert turns.count >= read // SLICE_BYTES


async def test_what_is_compressed_is_not_unpacked() -> None:
    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"rubbish", headers={"Content-Encoding": "gzip"})

    async with serving(handle) as url, make_llm_client(url, "k") as client:
        with pytest.raises(BadAnswer):
            await client.chat.completions.create(**REQUEST)


async def test_what_is_kept_after_many_questions_at_once_has_a_bound_and_ends_with_the_next_question() -> None:
    everybody, transports = asyncio.Barrier(MOST_KEPT + 5), list[asyncio.Transport]()
    alone = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        assert isinstance(request.transport, asyncio.Transport)
        transports.append(request.transport)
        if not alone.is_set():
            await everybody.wait()  # so that each has a connection of its own
        return web.json_response({"choices": []})

    def kept() -> list[str]:
        connections = psutil.Process().net_connections("tcp")
        return [each.status for each in connections if each.raddr and each.raddr.port == port]

    async def are_closed_by_the_server() -> bool:
        return set(kept()) == {psutil.CONN_CLOSE_WAIT}

    async with serving(handle) as url, make_llm_client(url, "k") as client:
        port, question = URL(url).port or 0, REQUEST | {"stream": False, "timeout": PATIENCE_S}
        await asyncio.gather(*(client.chat.completions.create(**question) for _ in range(everybody.parties)))
        assert len(kept()) == MOST_KEPT
        for transport in transports:
            transport.close()
        await eventually(are_closed_by_the_server, PATIENCE_S)
        assert len(kept()) == MOST_KEPT, "the client looks at them when it is asked next"
        alone.set()
        await client.chat.completions.create(**question)
        assert kept() == [psutil.CONN_ESTABLISHED]


class _Moment:
    """Stands in for the client's clock."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


async def test_a_connection_is_kept_while_a_caller_speaks_and_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_on: list[object] = []

    async def handle(request: web.Request) -> web.Response:
        asked_on.append(request.transport)
        return web.json_response({"choices": []})

    moment = _Moment()
    monkeypatch.setattr("httpcore2._async.http11.time", moment)
    async with serving(handle) as url, make_llm_client(url, "k") as client:
        for moment.now_s in (0.0, KEPT_S - 1, 2 * KEPT_S):
            await client.chat.completions.create(**REQUEST | {"stream": False})
    assert asked_on[0] is asked_on[1]
    assert asked_on[1] is not asked_on[2]


async def test_a_server_that_closes_idle_connections_after_a_second_is_asked_on_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transports: list[asyncio.Transport] = []

    async def handle(request: web.Request) -> web.Response:
        assert isinstance(request.transport, asyncio.Transport)
        transports.append(request.transport)
        return web.json_response({"choices": []})

    async def has_closed() -> bool:
        return transports[-1].is_closing()

    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    app = web.Application()
    app.router.add_post("/chat/completions", handle)
    runner = web.AppRunner(app, keepalive_timeout=1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    async with make_llm_client(f"https://localhost:{runner.addresses[0][1]}", "k") as client:
        for _ in range(2):
            await client.chat.completions.create(**REQUEST | {"stream": False})
        await eventually(has_closed, PATIENCE_S)
        await client.chat.completions.create(**REQUEST | {"stream": False})
    await runner.cleanup()
    assert transports[0] is transports[1]
    assert transports[1] is not transports[2]


ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"choices": []}'


@pytest.mark.parametrize(
    ("scripts", "asked", "fails"),
    [
        ([[ANSWER, b""], [ANSWER]], 3, False),
        ([[ANSWER, ANSWER[:-3]], [ANSWER]], 2, True),
        ([[b""], [ANSWER]], 1, True),
        ([[ANSWER, b""], [b""]], 3, True),
    ],
    ids=["closed while kept", "closed in the answer", "a new one closed", "both closed"],
)
async def test_a_question_that_meets_the_end_of_a_kept_connection_is_sent_again(
    scripts: list[list[bytes]], asked: int, fails: bool
) -> None:
    """Each script is a connection's: what the server answers to one request after the other before it closes."""
    requests, left = 0, iter(scripts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for answer in next(left):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None
            await reader.readexactly(int(length[1]))
            requests += 1
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with make_llm_client(url, "k") as client:
            outcome = nullcontext() if not fails else pytest.raises(APIConnectionError)
            with outcome:
                for _ in range(2):
                    await client.chat.completions.create(**REQUEST | {"stream": False})
    assert requests == asked
