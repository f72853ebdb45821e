"""Floods on nearly all of the connections that a server takes, together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.websocket_floods import cancels, empty_deltas, pings
from benchmarks.attacks.wire import CHUNK_BYTES, connected, head, write

CONNECTIONS: Final = 240
"""Of 256: the callers beside the attack are spoken to over HTTP."""
AGAIN_S: Final = 0.5
"""Whoever was cut off comes back after this."""
FIELD: Final = b"X-Field: " + b"a" * 64 + b"\r\n"

_Flood = Callable[[Target, Answers], Awaitable[None]]


async def many_floods(target: Target, answers: Answers) -> None:
    """Pings, empty pieces of text, cancels, heads without an end, and short requests, each on a fifth of them."""
    await _on_all(target, answers, (pings, empty_deltas, cancels, _half_heads, _short_requests))


async def short_requests(target: Target, answers: Answers) -> None:
    """Requests that cost little, as fast as they are answered, on every one of them."""
    await _on_all(target, answers, (_short_requests,))


async def _on_all(target: Target, answers: Answers, floods: tuple[_Flood, ...]) -> None:
    async with asyncio.TaskGroup() as group:
        for flood in islice(cycle(floods), CONNECTIONS):
            group.create_task(_again_and_again(flood, target, answers))


async def _again_and_again(flood: _Flood, target: Target, answers: Answers) -> None:
    while True:
        mine: Answers = Counter()
        try:
            await flood(target, mine)
        except (ConnectionError, EOFError):
            mine["reset"] += 1
        finally:
            answers.update(mine)
        await asyncio.sleep(AGAIN_S)


async def _half_heads(target: Target, answers: Answers) -> None:
    """Ever another field of a request's head."""
    async with _flooded(target, head(target, "GET", "/health")[:-2] + FIELD, FIELD) as ended:
        await ended
    answers["closed"] += 1


async def _short_requests(target: Target, answers: Answers) -> None:
    request = head(target, "GET", "/health")
    async with _flooded(target, request, request * 25) as ended:
        await ended
    answers["closed"] += 1


@asynccontextmanager
async def _flooded(target: Target, first: bytes, more: bytes) -> AsyncIterator[asyncio.Future[None]]:
    """A connection on which one thing is sent, and then another over and over; the future is done when it is closed."""
    async with connected(target.host, target.http_port) as (reader, writer):
        sending = asyncio.create_task(_send(writer, first, more))
        ended = asyncio.ensure_future(_until_ended(reader))
        try:
            yield ended
        finally:
            sending.cancel()
            ended.cancel()


async def _send(writer: asyncio.StreamWriter, first: bytes, more: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await write(writer, first)
        while True:
            await write(writer, more)


async def _until_ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(CHUNK_BYTES):
            pass
