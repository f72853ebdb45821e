"""Any of several bridges answers for any call."""

from __future__ import annotations

import asyncio
import json
import socket
from uuid import UUID, uuid4

from tests.bridge.cluster.conftest import Start
from tests.support.fakes import Asterisk
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually
from tests.support.whole_app import Bench

PATIENCE_S = 30.0


async def announced(bench: Bench, **variables: str) -> str:
    call_id = str(uuid4())
    status, answer = await bench.post("/v1/calls", {"id": call_id, **variables})
    assert status == 201, answer
    return call_id


async def known(bench: Bench, call_id: str) -> None:
    """Waits until a bridge knows a call."""

    async def is_known() -> bool:
        async with bench.http.get(f"/v1/calls/{call_id}") as response:
            return response.status == 200

    await eventually(is_known, PATIENCE_S)


async def asked_next(bench: Bench, call_id: str) -> tuple[int, str]:
    async with bench.http.get(f"/v1/calls/{call_id}/next") as response:
        return response.status, await response.text()


async def test_a_call_that_was_announced_to_one_may_connect_to_another(bridge: Start) -> None:
    first, second = await bridge(), await bridge()
    call_id = await announced(first, name="Ada")
    peer = await second.call_named(call_id)
    variables = second.app.calls.find(peer.id).variables
    assert variables["name"] == "Ada"
    await peer.close()


async def test_where_calls_must_be_announced_any_bridge_knows_that_one_was(bridge: Start) -> None:
    first, second = await bridge(require_registration=True), await bridge(require_registration=True)
    peer = await second.call_named(await announced(first))
    stranger = await Asterisk.connect(second.app.audiosocket_port, uuid4())
    assert await stranger.drain() is not None
    assert second.app.calls.find(stranger.id) is None
    await peer.close()


async def test_keys_and_sound_that_come_before_the_call_is_known_are_not_lost(bridge: Start) -> None:
    first, second = await bridge(), await bridge()
    call_id = await announced(first)
    peer = await Asterisk.connect(second.app.audiosocket_port, UUID(call_id))
    peer.send(0x03, b"7")
    await known(second, call_id)
    assert second.call_of(peer).dtmf == "7"
    await peer.close()


async def test_any_bridge_looks_a_call_up_speaks_into_it_and_ends_it(bridge: Start) -> None:
    first, second = await bridge(), await bridge()
    peer = await first.call(name="Ada")
    await known(second, str(peer.id))
    assert (await second.get(f"/v1/calls/{peer.id}"))["conversation"]["variables"]["name"] == "Ada"
    status, _ = await second.post(f"/v1/calls/{peer.id}/say", {"text": "Hello from the other one."})
    assert status == 202
    await eventually(lambda: _spoke(first, "Hello from the other one."), PATIENCE_S)
    status, _ = await second.post(f"/v1/calls/{peer.id}/interrupt")
    assert status == 200
    status, _ = await second.post(f"/v1/calls/{peer.id}/hangup")
    assert status == 202
    await peer.drain()
    assert await asked_next(second, str(peer.id)) == (200, "hangup")


async def _spoke(bench: Bench, text: str) -> bool:
    return any(text in str(spoken) for spoken in bench.engine.spoken)


async def test_a_page_follows_a_call_of_another_bridge(bridge: Start) -> None:
    first, second = await bridge(), await bridge()
    peer = await first.call(name="Ada")
    await known(second, str(peer.id))
    async with second.http.ws_connect(f"/v1/calls/{peer.id}/events") as socket:
        event = json.loads(await asyncio.wait_for(socket.receive_str(), PATIENCE_S))
        assert (event["type"], event["variables"]["name"]) == ("call.started", "Ada")
    await peer.close()


async def test_where_a_call_goes_is_known_after_its_bridge_is_gone(bridge: Start) -> None:
    first, second = await bridge(transfer_allow="sales=ext-queues,400,1"), await bridge()
    peer = await first.call()
    await first.post(f"/v1/calls/{peer.id}/hangup", {"next": "sales"})
    await peer.drain()
    await first.app.stop()
    assert await asked_next(second, str(peer.id)) == (200, "ext-queues,400,1")


async def test_a_bridge_that_hangs_is_not_taken_for_lost(bridge: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = await bridge(bridge_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        second = await bridge()
        peer = await hanging.call()

        async def is_known() -> bool:
            return await asked_next(second, str(peer.id)) != (404, "not-found")

        await eventually(is_known, PATIENCE_S)
        assert await asked_next(second, str(peer.id)) == (503, ""), "it lives, as it shows in Redis"
        await peer.close()


async def test_the_name_in_bridge_url_is_one_of_this_server(bridge: Start) -> None:
    named = await bridge(bridge_url="http://bridge-1.internal:8000")
    for host, status in (("bridge-1.internal:8000", 404), ("elsewhere.internal:8000", 421)):
        async with named.http.get(f"/v1/calls/{uuid4()}", headers={"Host": host}) as response:
            assert response.status == status


async def test_a_call_nobody_knows_is_not_found(bridge: Start) -> None:
    first = await bridge()
    assert await asked_next(first, str(uuid4())) == (404, "not-found")


async def test_every_key_goes_by_itself(bridge: Start, redis: RedisServer) -> None:
    from redis.asyncio import Redis

    first = await bridge()
    ids = {await announced(first)}
    peer = await first.call()
    ids.add(str(peer.id))
    async with Redis.from_url(redis.url) as client:

        async def written() -> bool:
            keys = [str(key) async for key in client.scan_iter()]
            return all(any(call_id in key for key in keys) for call_id in ids)

        await eventually(written, PATIENCE_S)
        keys = [key async for key in client.scan_iter()]
        endless = -1  # as Redis says it; -2 is a key that has gone by now
        assert endless not in [await client.ttl(key) for key in keys]
    await peer.close()


async def test_without_redis_a_bridge_is_one_of_nobody() -> None:
    from tests.support.whole_app import whole_app

    async with whole_app() as alone:
        assert alone.app.membership is None
