"""Passes a server's messages on, only so much of each and only so many questions as leave the event loop to others.

The package makes a task and an answer of every question, and checks each part of a result by its schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, JSONRPCResponse

from engine.web.inbox import Budget, Flood

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

QUESTIONS_PER_S: Final = 10
"""How many requests of its own a server may make: pings. One that goes on making more is given up."""
MAX_PARTS: Final = 1_000
"""How many tools of one page, or parts of one result, are looked at."""


@asynccontextmanager
async def bounded_transport(
    transport: AbstractAsyncContextManager[TransportStreams],
) -> AsyncGenerator[TransportStreams]:
    """Has a server's transport hold back what is too much."""
    async with transport as (from_server, to_server):
        to_us, bounded = anyio.create_memory_object_stream[SessionMessage | Exception](0)

        async def relay() -> None:
            budget = Budget(QUESTIONS_PER_S)
            async with to_us:
                async for message in from_server:
                    if isinstance(message, SessionMessage):
                        if isinstance(message.message, JSONRPCRequest):
                            try:
                                await asyncio.sleep(budget.spend())
                            except Flood:
                                return  # as if the server had closed the connection
                        elif isinstance(message.message, JSONRPCResponse):
                            _shorten(message.message.result)
                    await to_us.send(message)

        task = asyncio.create_task(relay())
        try:
            yield bounded, to_server
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for stream in (to_us, bounded):
                stream.close()


def _shorten(result: dict[str, Any]) -> None:
    for key in ("tools", "content"):
        parts = result.get(key)
        if isinstance(parts, list) and len(parts) > MAX_PARTS:
            del parts[MAX_PARTS:]
