"""An answer that is begun early has no effect until it is certain, and leaves no trace if it was too early."""

from __future__ import annotations

import asyncio
from copy import deepcopy

from aiohttp import web

from bridge.brains.brain import Piece
from bridge.brains.http_tool import HttpTool
from tests.support.llm_brain import brain, collect, text_of
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.serving import serving


async def test_what_was_said_in_vain_is_forgotten() -> None:
    async with LlmServer("One.", "Two.", "Three.") as server, brain(server, system_prompt="Be kind.") as ai:
        await collect(ai.answer("I would like"))
        ai.heard("", interrupted=True)
        before = deepcopy(ai.history.messages())
        await collect(ai.prepare("two pizzas"))
        assert server.requests[1]["messages"][-1]["content"] == "I would like two pizzas"
        ai.take_back()
        assert ai.history.messages() == before
        await collect(ai.answer("to go to Pisa"))
        assert server.requests[2]["messages"][-1]["content"] == "I would like to go to Pisa"


async def test_what_is_certain_is_remembered() -> None:
    async with LlmServer("One.", "Two.") as server, brain(server) as ai:
        await collect(ai.prepare("two pizzas"))
        ai.confirm()
        ai.heard("One.", interrupted=False)
        await collect(ai.answer("and a cola"))
        assert [message["content"] for message in server.requests[1]["messages"]] == [
            "two pizzas",
            "One.",
            "and a cola",
        ]


async def test_no_tool_is_called_before_it_is_certain() -> None:
    called: list[str] = []

    async def book(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.Response(text="booked")

    async with serving(book) as url:
        tool = HttpTool(name="book", description="d", url=url)
        answers = (Answer("I book it.", [ToolCall("book")]), "It is booked.")
        async with LlmServer(*answers) as server, brain(server, tool) as ai:
            pieces = ai.prepare("book it")
            said: list[Piece] = []
            spoken = asyncio.Event()

            async def hear() -> None:
                async for piece in pieces:
                    said.append(piece)
                    if text_of(said) == "I book it.":
                        spoken.set()

            hearing = asyncio.ensure_future(hear())
            await spoken.wait()
            await asyncio.wait({hearing}, timeout=0.2)
            assert not hearing.done()
            assert called == []
            hearing.cancel()
            await asyncio.wait({hearing})
            ai.take_back()
            assert ai.history.messages() == []
        async with LlmServer(*answers) as server, brain(server, tool) as ai:
            pieces = ai.prepare("book it")
            ai.confirm()
            assert text_of(await collect(pieces)).split() == ["I", "book", "it.", "It", "is", "booked."]
            assert len(called) == 1


async def test_a_booking_of_an_earlier_turn_that_ends_meanwhile_is_not_forgotten_with_what_was_said_in_vain() -> None:
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def book(request: web.Request) -> web.Response:
        at_work.set()
        await go_on.wait()
        return web.Response(text="booked")

    async with serving(book) as url:
        tool = HttpTool(name="book", description="d", url=url)
        async with LlmServer(Answer(tools=[ToolCall("book")]), "Yes.") as server, brain(server, tool) as ai:
            turn = asyncio.ensure_future(collect(ai.answer("book it")))
            await at_work.wait()
            turn.cancel()
            ai.heard("", interrupted=True)
            pieces = ai.prepare("is it")
            go_on.set()
            assert text_of(await collect(pieces)) == "Yes."
            ai.take_back()
            assert [message["content"] for message in ai.history.messages()] == ["book it", None, "booked"]
