"""A bridge that takes connections and answers nothing: whether it hangs is told by its sign of life in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import pytest

from bridge.cluster.shared_calls import Record, SharedCalls, connect
from tests.bridge.cluster.conftest import Start
from tests.bridge.cluster.test_any_bridge import asked_next
from tests.support.asterisk.waiting import eventually
from tests.support.redis_server import RedisServer

PATIENCE_S = 10.0


@pytest.fixture
async def silent(redis: RedisServer) -> AsyncIterator[SharedCalls]:
    """What a bridge shares that answers nothing any more."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    shared = connect(redis.url, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0)
    yield shared
    await shared.close()
    server.close()


async def has(shared: SharedCalls, *, over: bool = False) -> str:
    """Writes a call of this bridge, and returns its id."""
    call_id = uuid4()
    await shared.write([Record(call_id, over, "ext-queues,400,1" if over else "", None)])
    return str(call_id)


async def test_a_call_of_a_bridge_that_hangs_was_cut_off(bridge: Start, silent: SharedCalls) -> None:
    assert await asked_next(await bridge(), await has(silent)) == (200, "cut-off")


async def test_a_call_that_was_over_before_its_bridge_hung_goes_where_the_agent_sent_it(
    bridge: Start, silent: SharedCalls
) -> None:
    assert await asked_next(await bridge(), await has(silent, over=True)) == (200, "ext-queues,400,1")


async def test_a_bridge_that_is_only_slow_is_not_taken_for_one_that_hangs(bridge: Start, silent: SharedCalls) -> None:
    await silent.show_life(for_s=60)
    assert await asked_next(await bridge(), await has(silent)) == (503, ""), "no text: a dialplan would go there"


async def test_a_bridge_shows_that_it_lives(bridge: Start, silent: SharedCalls) -> None:
    first = await bridge()

    async def is_shown() -> bool:
        return await silent.shows_life(first.url)

    await eventually(is_shown, PATIENCE_S)
    assert not await silent.shows_life(silent.at)
