"""A bridge that hangs behind HAProxy: its call goes on at another one, with what was said so far."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from bridge.conversation.memory import CUT_OFF
from tests.bridge.cluster.conftest import Start
from tests.bridge.cluster.test_going_on import spoken
from tests.support.asterisk.asterisk import free_port
from tests.support.asterisk.talkspurt import Talkspurt, running
from tests.support.fakes import Asterisk
from tests.support.haproxy_server import HaproxyServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually
from tests.support.whole_app import Bench

PATIENCE_S = 30.0
DIALPLAN_WAITS = aiohttp.ClientTimeout(total=2)
"""Its `CURLOPT(httptimeout)`."""
QUIET = {"GREETING": "", "APOLOGY": "", "NO_INPUT_TIMEOUT_MS": "0", "REQUIRE_REGISTRATION": "true"}


@pytest.fixture
async def hanging(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Talkspurt]:
    """A bridge of its own process, which may be stopped."""
    port = free_port()
    shared = {"REDIS_URL": redis.url, "HTTP_PORT": str(port), "BRIDGE_URL": f"http://127.0.0.1:{port}"}
    with running(tmp_path, **QUIET, **shared) as server:
        yield server
        server.kill()


@pytest.fixture
async def other(bridge: Start) -> Bench:
    return await bridge(require_registration=True, cut_off="We were cut off.")  # type: ignore[no-any-return]


@pytest.fixture
async def proxy(hanging: Talkspurt, other: Bench, tmp_path: Path) -> AsyncIterator[HaproxyServer]:
    ports = {
        "a": (hanging.http_port, hanging.audiosocket_port),
        "b": (other.app.http_port, other.app.audiosocket_port),
    }
    proxy = HaproxyServer(tmp_path, ports)
    proxy.start()
    yield proxy
    proxy.kill()


class Front:
    """What Asterisk knows of both: one address."""

    def __init__(self, proxy: HaproxyServer, http: aiohttp.ClientSession) -> None:
        self._proxy, self._http = proxy, http

    async def call(self, **variables: str) -> Asterisk:
        """A call that is announced and connected, as a dialplan does it."""
        call_id = str(uuid4())
        async with self._http.post("/v1/calls", json={"id": call_id, **variables}) as response:
            assert response.status == 201, await response.text()
        peer = await Asterisk.connect(self._proxy.audiosocket_port, UUID(call_id))
        peer.send_audio()

        async def is_known() -> bool:
            async with self._http.get(f"/v1/calls/{call_id}") as response:
                return response.status == 200

        await eventually(is_known, PATIENCE_S)
        return peer

    async def next(self, peer: Asterisk) -> str:
        """Asks as the dialplan does; "" where nobody answers for so long as it waits."""
        try:
            async with self._http.get(f"/v1/calls/{peer.id}/next", timeout=DIALPLAN_WAITS) as response:
                return await response.text()
        except TimeoutError:
            return ""


async def ended(peer: Asterisk) -> None:
    """Waits until a call's connection is closed, in whatever way."""
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            while await peer.reader.read(65_536):
                pass


async def test_its_call_goes_on_at_the_other_one(hanging: Talkspurt, other: Bench, proxy: HaproxyServer) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.http_port}") as http:
        front = Front(proxy, http)
        peers = [await front.call(name="Ada") for _ in range(2)]  # HAProxy gives one to each
        (lost,) = [peer for peer in peers if other.app.calls.find(peer.id) is None]
        hanging.process.send_signal(signal.SIGSTOP)
        await ended(lost)

        async def is_told() -> bool:
            return await front.next(lost) == "cut-off"

        await eventually(is_told, PATIENCE_S)
        resumed = await front.call(continues=str(lost.id), **{CUT_OFF: "1"})
        await spoken(other, "We were cut off.")
        assert other.app.calls.find(resumed.id).variables["name"] == "Ada"
        for peer in (*peers, resumed):
            await peer.close()
