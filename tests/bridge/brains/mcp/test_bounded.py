"""A server's messages on their way to the package."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from bridge.brains.mcp.bounded import MAX_PARTS, QUESTIONS_PER_S, bounded_transport


class Server:
    """Both ends of a transport."""

    def __init__(self, from_server: Any, sends: Any) -> None:
        self.from_server, self._sends = from_server, sends

    async def send(self, message: Any) -> None:
        await self._sends.send(SessionMessage(message))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    sends, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_server, taken = anyio.create_memory_object_stream[SessionMessage](0)

    @asynccontextmanager
    async def transport() -> AsyncIterator[Any]:
        yield from_server, to_server

    async with bounded_transport(transport()) as (bounded, _):
        yield Server(bounded, sends)
    for stream in (sends, from_server, to_server, taken):
        stream.close()


async def test_a_server_that_keeps_asking_is_held_back_and_then_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_s: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits_s.append(wait_s)

    monkeypatch.setattr("bridge.brains.mcp.bounded.asyncio.sleep", sleep)

    async def ask() -> None:
        for number in range(10_000):
            await server.send(JSONRPCRequest(jsonrpc="2.0", id=number, method="ping"))

    asking = asyncio.create_task(ask())
    passed = [message async for message in server.from_server]  # it ends as if the server had gone
    asking.cancel()
    assert 50 < len(passed) < 50 * QUESTIONS_PER_S
    assert max(waits_s) > 1


async def test_other_messages_are_not_held_back(server: Server) -> None:
    for _ in range(200):
        sending = asyncio.create_task(server.send(JSONRPCNotification(jsonrpc="2.0", method="notifications/message")))
        assert isinstance(await server.from_server.receive(), SessionMessage)
        await sending


@pytest.mark.parametrize("key", ["tools", "content"])
async def test_only_so_many_parts_of_a_result_are_looked_at(server: Server, key: str) -> None:
    answer = JSONRPCResponse(jsonrpc="2.0", id=1, result={key: [{}] * 7_000, "other": 1})
    sending = asyncio.create_task(server.send(answer))
    message = (await server.from_server.receive()).message
    await sending
    assert len(message.result[key]) == MAX_PARTS
    assert message.result["other"] == 1
