"""The language model's client keeps no cookies, follows no redirect, and reads no event without an end."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest
from aiohttp import web
from openai import APIStatusError
from yarl import URL

from bridge.brains.bounded_http import MAX_EVENT_BYTES, SLICE_BYTES, BadAnswer
from bridge.brains.llm_client import make_llm_client
from tests.support.serving import serving
from tests.support.turns_of_the_loop import TurnsOfTheLoop
from tests.support.waiting import eventually

REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "my secret"}], "stream": True}
PATIENCE_S = 120.0
"""A hundred connections take a busy machine longer than the client gives one by itself."""
MOST_KEPT = 100
"""How many connections OpenAI's client keeps for the next questions."""


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
