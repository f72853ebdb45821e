"""A caller is looked up before the greeting; whatever the other system does, the call goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from tests.support.serving import serving
from tests.support.whole_app import Bench, whole_app

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def looking_up(handler: Handler, **settings: object) -> AsyncIterator[Bench]:
    async with serving(handler) as url, whole_app(greeting="Hello {name}.", lookup_url=url, **settings) as bench:
        yield bench


async def greeting(bench: Bench) -> str:
    peer = await bench.call(**{"from": "5550100", "name": "unknown"})
    await peer.hear(voiced=True)
    await peer.close()
    return bench.engine.spoken[0][0]


async def test_the_answer_fills_the_greeting_and_the_question_tells_who_calls() -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"name": "Ann Lee", "orders": 2, "vip": True, "note": None, "cart": ["a"], "a b": "c"})

    async with looking_up(answer) as bench:
        with capture_logs() as lines:
            assert await greeting(bench) == "Hello Ann Lee."
    (question,) = asked
    assert (question["from"], question["name"]) == ("5550100", "unknown")
    assert [line["names"] for line in lines if "looked up" in line["event"]] == [["cart", "a b"]]


async def test_a_call_that_begins_anew_because_nobody_knows_its_earlier_one_is_looked_up_too() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"name": "Ann Lee"})

    async with looking_up(answer) as bench:
        peer = await bench.call(continues=str(uuid4()), transfer="BUSY")
        await peer.hear(voiced=True)
        assert bench.engine.spoken[0][0] == "Hello Ann Lee."
        await peer.close()


async def slow(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def broken(request: web.Request) -> web.Response:
    return web.Response(text="{not json")


async def refused(request: web.Request) -> web.Response:
    return web.json_response({"name": "wrong"}, status=403)


async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("/")


async def a_list(request: web.Request) -> web.Response:
    return web.json_response(["Ann"])


async def deep(request: web.Request) -> web.Response:
    return web.Response(text="[" * 60_000)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b'"' * 10_000)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (slow, "no answer in time"),
        (broken, "Expecting property name"),
        (refused, "HTTP 403"),
        (elsewhere, "HTTP 302"),
        (a_list, "no JSON object"),
        (deep, ""),
        (endless, "longer than 65536 bytes"),
    ],
)
async def test_a_call_goes_on_without_an_answer(handler: Handler, problem: str) -> None:
    timeout_ms = 50 if handler is slow else 1_500
    async with looking_up(handler, lookup_timeout_ms=timeout_ms) as bench:
        with capture_logs() as lines:
            assert await greeting(bench) == "Hello unknown."
    (warning,) = [line for line in lines if line["event"] == "the caller was not looked up"]
    assert problem in warning["problem"]


async def test_there_is_a_bound_for_what_is_taken() -> None:
    async def much(request: web.Request) -> web.Response:
        return web.json_response({f"v{i}": "x" * 500 for i in range(100)} | {"long": "x" * 5_000})

    async with looking_up(much) as bench:
        peer = await bench.call(**{"from": "5550100", "name": "unknown"})
        variables = (await bench.get(f"/v1/calls/{peer.id}"))["conversation"]["variables"]
        await peer.close()
    assert 10 < len(variables) <= 64
    assert sum(len(name) + len(value) for name, value in variables.items()) <= 8_000
    assert "long" not in variables
