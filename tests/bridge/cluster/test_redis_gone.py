"""A Redis that hangs or is gone costs new calls a clear answer in time, and running calls nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from bridge.cluster.shared_calls import TIMEOUT_S, connect
from bridge.line.audiosocket import Kind
from tests.bridge.cluster.conftest import Start
from tests.bridge.cluster.test_any_bridge import announced, asked_next, known
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

PATIENCE_S = 30.0
DIALPLAN_WAITS_S = 2.0
FRAMES = 75
TURNS = 40
"""Of the event loop, more than a command takes."""


def kill(redis: RedisServer) -> None:
    redis.kill()


def hang(redis: RedisServer) -> None:
    redis.hang()


@pytest.fixture(params=[kill, hang], ids=["killed", "hung"])
def gone(request: pytest.FixtureRequest, redis: RedisServer):
    yield lambda: request.param(redis)
    redis.kill()
    redis.start()


async def test_new_calls_are_refused_in_time_and_running_ones_miss_no_frame(
    bridge: Start, gone: Callable[[], None], redis: RedisServer
) -> None:
    first, second = await bridge(), await bridge()
    peer = await first.call(name="Ada")
    await known(second, str(peer.id))
    status, _ = await first.post(f"/v1/calls/{peer.id}/say", {"text": "One two three. " * 20})
    assert status == 202
    missed = first.app.audiosocket.clock.missed_ticks

    gone()
    began_s = time.monotonic()
    status, answer = await first.post("/v1/calls", {"id": str(uuid4())})
    took_s = time.monotonic() - began_s
    assert (status, "REDIS_URL" in answer["message"]) == (503, True), answer
    assert took_s < DIALPLAN_WAITS_S, f"more than TIMEOUT_S={TIMEOUT_S}"
    assert await asked_next(second, str(peer.id)) == (503, ""), "no text: a dialplan would go there"

    for _ in range(FRAMES):
        message = await peer.receive()
        assert message is not None
        assert message.kind == Kind.SLIN8
    assert first.app.audiosocket.clock.missed_ticks == missed
    assert (await first.get(f"/v1/calls/{peer.id}"))["underrun_frames"] == 0
    await first.post(f"/v1/calls/{peer.id}/interrupt")
    await first.post(f"/v1/calls/{peer.id}/hangup")
    await peer.drain()
    assert await asked_next(first, str(peer.id)) == (200, "hangup")


async def test_a_command_that_is_given_up_ends_whenever_that_is(redis: RedisServer) -> None:
    """A bridge gives up what it asks of Redis when it stops, and waits for the end of that."""
    shared = connect(redis.url, "", 0)
    await shared.beat()
    for turns in range(TURNS):
        asking = asyncio.ensure_future(shared.beat())
        for _ in range(turns):
            await asyncio.sleep(0)
        if asking.cancel():
            await asyncio.wait([asking], timeout=PATIENCE_S)
            assert asking.cancelled(), f"after {turns} turns of the loop"
    await shared.close()


async def test_calls_are_taken_again_once_redis_answers(bridge: Start, redis: RedisServer) -> None:
    first = await bridge()
    redis.kill()
    status, _ = await first.post("/v1/calls", {"id": str(uuid4())})
    assert status == 503
    redis.start()

    async def taken() -> bool:
        status, _ = await first.post("/v1/calls", {"id": str(uuid4())})
        return status == 201

    await eventually(taken, PATIENCE_S)


async def test_what_was_said_meanwhile_is_written_when_redis_answers_again(bridge: Start, redis: RedisServer) -> None:
    first, second = await bridge(), await bridge()
    call_id = await announced(first)
    redis.kill()
    peer = await first.call_named(call_id)
    redis.start()
    await known(second, str(peer.id))
    async with second.http.get(f"/v1/calls/{peer.id}") as response:
        assert (await response.json())["id"] == call_id
    await peer.close()


async def test_health_and_metrics_tell_whether_redis_answers(
    bridge: Start, gone: Callable[[], None], redis: RedisServer
) -> None:
    first = await bridge()

    async def is_told(reached: bool) -> bool:
        health = await first.get("/health")
        async with first.http.get("/metrics") as response:
            told = f"talkspurt_redis_up {float(reached)}" in await response.text()
        warned = any("REDIS_URL" in warning for warning in health["warnings"])
        return (health["redis"]["reached"], told, warned) == (reached, True, not reached)

    await eventually(lambda: is_told(True), PATIENCE_S)
    gone()
    await eventually(lambda: is_told(False), PATIENCE_S)
    redis.kill()
    redis.start()
    await eventually(lambda: is_told(True), PATIENCE_S)
    assert (await first.post("/v1/calls", {"id": str(uuid4())}))[0] == 201, "it answers indeed"
