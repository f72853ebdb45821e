"""A call that was announced to one bridge and connects to another: where its place is counted."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID, uuid4

from bridge.cluster.shared_calls import NotReached
from bridge.conversation.registration import Registrations
from tests.bridge.cluster.conftest import Start
from tests.bridge.cluster.test_any_bridge import announced
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually
from tests.support.whole_app import Bench

PATIENCE_S = 30.0


def stop_time(bench: Bench) -> None:
    """Lets no announcement expire, nor lose its place by itself."""
    bench.app.calls.registrations = Registrations(60, lambda: 0.0)


async def test_where_it_was_announced_its_place_is_free_once_another_bridge_has_it(bridge: Start) -> None:
    first, second = await bridge(max_calls=1), await bridge()
    stop_time(first)
    call_id = await announced(first)
    status, answer = await first.post("/v1/calls", {"id": str(uuid4())})
    assert (status, "MAX_CALLS" in answer["message"]) == (503, True), "its place is held"
    peer = await second.call_named(call_id)

    async def is_free() -> bool:
        return UUID(call_id) not in first.app.calls.registrations

    await eventually(is_free, PATIENCE_S)
    assert (await first.post("/v1/calls", {"id": str(uuid4())}))[0] == 201
    await peer.close()


async def test_one_that_redis_has_lost_is_still_known_where_it_was_announced(bridge: Start, redis: RedisServer) -> None:
    first = await bridge(require_registration=True)
    stop_time(first)
    call_id = await announced(first, name="Ada")
    redis.kill()
    redis.start()
    membership = first.app.membership
    assert membership is not None

    async def has_looked() -> bool:
        with suppress(NotReached):
            await membership.announcements.look()
            return True
        return False

    await eventually(has_looked, PATIENCE_S)
    peer = await first.call_named(call_id)
    assert first.app.calls.find(peer.id).variables["name"] == "Ada"
    await peer.close()
