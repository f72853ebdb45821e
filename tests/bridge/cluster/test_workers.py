"""Redis with WORKERS=2: a server of several processes is one of several bridges."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from uuid import UUID, uuid4

import aiohttp
import pytest

from bridge.conversation.memory import CUT_OFF
from tests.bridge.cluster.conftest import Start
from tests.bridge.cluster.test_any_bridge import announced, asked_next, known
from tests.bridge.cluster.test_going_on import spoken
from tests.support.asterisk.asterisk import free_port
from tests.support.asterisk.talkspurt import Talkspurt, running
from tests.support.fakes import Asterisk
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually
from tests.support.whole_app import Bench

PATIENCE_S = 30.0
QUIET = {"GREETING": "", "APOLOGY": "", "NO_INPUT_TIMEOUT_MS": "0", "REQUIRE_REGISTRATION": "true"}


class Far:
    """The server, by its address alone."""

    def __init__(self, server: Talkspurt, http: aiohttp.ClientSession) -> None:
        self.server, self.http = server, http

    post, get = Bench.post, Bench.get

    async def call_named(self, call_id: str) -> Asterisk:
        """A call that was announced and connects to it."""
        peer = await Asterisk.connect(self.server.audiosocket_port, UUID(call_id))
        peer.send_audio()
        await known(self, call_id)  # type: ignore[arg-type]
        return peer

    async def worker_with_a_call(self) -> int:
        """The process that has the only call."""
        found: list[int] = []

        async def is_told() -> bool:
            found[:] = [each["pid"] for each in (await self.get("/health"))["workers"] if each["calls"]]
            return len(found) == 1

        await eventually(is_told, PATIENCE_S)
        return found[0]


@pytest.fixture(scope="module")
def server(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    port = free_port()
    shared = {"REDIS_URL": redis.url, "HTTP_PORT": str(port), "BRIDGE_URL": f"http://127.0.0.1:{port}"}
    with running(tmp_path_factory.mktemp("workers"), WORKERS="2", **QUIET, **shared) as server:
        yield server


@pytest.fixture
async def far(server: Talkspurt) -> AsyncIterator[Far]:
    async with aiohttp.ClientSession(server.url) as http:
        yield Far(server, http)


async def test_a_call_that_was_announced_to_a_worker_and_went_elsewhere_is_found_there(far: Far, bridge: Start) -> None:
    other = await bridge(require_registration=True)
    call_id = await announced(far, name="Ada")  # type: ignore[arg-type]
    peer = await other.call_named(call_id)
    await known(far, call_id)  # type: ignore[arg-type]
    assert (await far.get(f"/v1/calls/{call_id}"))["conversation"]["variables"]["name"] == "Ada"
    status, _ = await far.post(f"/v1/calls/{call_id}/say", {"text": "Hello from afar."})
    assert status == 202
    await spoken(other, "Hello from afar.")
    status, _ = await far.post(f"/v1/calls/{call_id}/hangup")
    assert status == 202
    await peer.drain()
    assert await asked_next(far, call_id) == (200, "hangup")  # type: ignore[arg-type]


async def test_a_call_that_was_announced_elsewhere_may_connect_to_a_worker(far: Far, bridge: Start) -> None:
    other = await bridge(require_registration=True)
    call_id = await announced(other, name="Ada")
    peer = await far.call_named(call_id)
    await known(other, call_id)
    for one in (far, other):
        assert (await one.get(f"/v1/calls/{call_id}"))["conversation"]["variables"]["name"] == "Ada"
    status, _ = await other.post(f"/v1/calls/{call_id}/hangup")
    assert status == 202
    await peer.drain()
    for one in (far, other):
        assert await asked_next(one, call_id) == (200, "hangup")  # type: ignore[arg-type]


async def test_a_call_whose_worker_is_lost_goes_on_elsewhere_or_there(far: Far, bridge: Start) -> None:
    other = await bridge(require_registration=True, cut_off="We were cut off.")
    call_id = await announced(far, name="Ada")  # type: ignore[arg-type]
    peer = await far.call_named(call_id)
    await known(other, call_id)
    os.kill(await far.worker_with_a_call(), signal.SIGKILL)
    with suppress(ConnectionError):
        await peer.drain()

    async def is_lost() -> bool:
        asked = [await asked_next(one, call_id) for one in (far, other)]  # type: ignore[arg-type]
        return asked == [(200, "cut-off")] * 2

    await eventually(is_lost, PATIENCE_S)
    body = {"id": str(uuid4()), "continues": call_id, CUT_OFF: "1"}
    status, answer = await other.post("/v1/calls", body)
    assert status == 201, answer
    resumed = await other.call_named(body["id"])
    await spoken(other, "We were cut off.")
    assert other.app.calls.find(resumed.id).variables["name"] == "Ada"
    await resumed.close()


async def test_health_and_metrics_tell_of_redis_once_for_all_workers(far: Far) -> None:
    async def is_told() -> bool:
        return (await far.get("/health"))["redis"]["reached"] is True

    await eventually(is_told, PATIENCE_S)
    async with far.http.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    assert [line for line in lines if line.startswith("talkspurt_redis_up")] == ["talkspurt_redis_up 1.0"]
