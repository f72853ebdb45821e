"""HAProxy before two bridges, as docs/cluster/haproxy.cfg has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from bridge.conversation.memory import CUT_OFF
from bridge.line.audiosocket import Kind
from tests.bridge.cluster.conftest import Start
from tests.support.fakes import Asterisk
from tests.support.haproxy_server import HaproxyServer
from tests.support.waiting import eventually
from tests.support.websocket_peer import WebSocketAsterisk
from tests.support.whole_app import Bench

PATIENCE_S = 30.0
CALLS = 4
FRAMES = 10
COMPLETED = "conversation.item.input_audio_transcription.completed"


class Front:
    """Two bridges, and what Asterisk knows of them: one address."""

    def __init__(self, bridges: list[Bench], proxy: HaproxyServer, http: aiohttp.ClientSession) -> None:
        self.bridges, self.proxy, self.http = bridges, proxy, http

    async def call(self, **variables: str) -> Asterisk:
        """A call that is announced and connected through the proxy, as a dialplan does it."""
        call_id = str(uuid4())
        async with self.http.post("/v1/calls", json={"id": call_id, **variables}) as response:
            assert response.status == 201, await response.text()
        peer = await Asterisk.connect(self.proxy.audiosocket_port, UUID(call_id))
        peer.send_audio()

        async def begun() -> bool:
            return self.bridge_of(peer) is not None

        await eventually(begun, PATIENCE_S)
        return peer

    def bridge_of(self, peer: Asterisk) -> Bench | None:
        return next((bridge for bridge in self.bridges if bridge.app.calls.find(peer.id) is not None), None)

    async def status(self, peer: Asterisk) -> int:
        async with self.http.get(f"/v1/calls/{peer.id}") as response:
            return response.status

    async def next(self, peer: Asterisk) -> str:
        async with self.http.get(f"/v1/calls/{peer.id}/next") as response:
            return await response.text()


@pytest.fixture
async def front(bridge: Start, tmp_path: Path) -> AsyncIterator[Front]:
    bridges = [await bridge(require_registration=True) for _ in range(2)]
    ports = {name: (b.app.http_port, b.app.audiosocket_port) for name, b in zip("ab", bridges, strict=True)}
    proxy = HaproxyServer(tmp_path, ports)
    proxy.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.http_port}") as http:
            yield Front(bridges, proxy, http)
    finally:
        proxy.kill()


async def test_a_call_that_one_bridge_has_no_room_for_is_taken_by_another(front: Front) -> None:
    """Before, every other caller went to the fallback."""
    full, free = front.bridges
    full.app.calls._is_overloaded = lambda calls: True
    peers = [await front.call() for _ in range(CALLS)]
    assert {front.bridge_of(peer) for peer in peers} <= {full, free}
    free.app.calls._is_overloaded = lambda calls: True
    async with front.http.post("/v1/calls", json={"id": str(uuid4())}) as response:
        assert response.status == 503
        assert "error" in await response.json(), "the bridge's own answer, not the proxy's"


async def test_calls_are_spread_and_each_is_found_through_the_proxy(front: Front) -> None:
    peers = [await front.call(name="Ada") for _ in range(CALLS)]
    assert {front.bridge_of(peer) for peer in peers} == set(front.bridges)
    for peer in peers:
        bridge = front.bridge_of(peer)
        assert bridge is not None
        conversation = bridge.app.calls.find(peer.id)
        assert conversation is not None
        assert conversation.variables["name"] == "Ada"

        async def found(peer: Asterisk = peer) -> bool:
            return [await front.status(peer) for _ in front.bridges] == [200] * len(front.bridges)

        await eventually(found, PATIENCE_S)
        async with front.http.post(f"/v1/calls/{peer.id}/hangup") as response:
            assert response.status == 202
        await peer.drain()
        assert await front.next(peer) == "hangup"


async def test_a_bridge_that_drains_keeps_its_call_and_gets_no_other(front: Front) -> None:
    first = await front.call()
    draining = front.bridge_of(first)
    front.proxy.drain("ab"[front.bridges.index(draining)])  # type: ignore[arg-type]
    others = [await front.call() for _ in range(CALLS)]
    assert draining not in {front.bridge_of(peer) for peer in others}
    assert await first.receive() is not None, "its call goes on"
    for peer in (first, *others):
        await peer.close()


async def test_a_call_whose_bridge_is_lost_goes_on_through_the_same_address(front: Front) -> None:
    first = await front.call(name="Ada")
    lost = front.bridge_of(first)
    assert lost is not None
    membership = lost.app.membership
    assert membership is not None
    await membership.keeper.flush()

    async def silent(*_: object) -> None:
        """Writes nothing more, as a process that was killed."""

    membership.shared.write = silent  # type: ignore[method-assign]
    await lost.app.stop()
    front.bridges.remove(lost)

    async def told() -> bool:
        return await front.next(first) == "cut-off"

    await eventually(told, PATIENCE_S)
    other = await front.call(continues=str(first.id), **{CUT_OFF: "1"})
    conversation = front.bridges[0].app.calls.find(other.id)
    assert conversation is not None
    assert conversation.variables["name"] == "Ada"
    await other.close()


async def test_pages_follow_a_call_over_websockets_whichever_bridge_they_come_to(front: Front) -> None:
    peer = await front.call(name="Ada")

    async def is_known() -> bool:
        return [await front.status(peer) for _ in front.bridges] == [200] * len(front.bridges)

    await eventually(is_known, PATIENCE_S)
    async with AsyncExitStack() as stack:
        path = f"/v1/calls/{peer.id}/events"
        pages = [await stack.enter_async_context(front.http.ws_connect(path)) for _ in front.bridges]
        for page in pages:
            event = json.loads(await asyncio.wait_for(page.receive_str(), PATIENCE_S))
            assert (event["type"], event["variables"]["name"]) == ("call.started", "Ada")
        await pages[0].send_json({"type": COMPLETED, "transcript": "Hello there."})
        assert [await transcript(page) for page in pages] == ["Hello there."] * len(pages)
    await peer.close()


async def transcript(page: aiohttp.ClientWebSocketResponse) -> str:
    """Waits for the caller's words. Returns them."""
    while True:
        event = json.loads(await asyncio.wait_for(page.receive_str(), PATIENCE_S))
        if event["type"] == "transcript.user":
            return str(event["text"])


async def test_asterisks_websocket_comes_through_to_the_call_that_was_announced(front: Front) -> None:
    call_id = uuid4()
    async with front.http.post("/v1/calls", json={"id": str(call_id), "name": "Ada"}) as response:
        assert response.status == 201
    peer = await WebSocketAsterisk.calling(front.http, call_id=call_id)
    for _ in range(FRAMES):
        message = await peer.receive()
        assert message is not None
        assert message.kind == Kind.SLIN8
    bridge = front.bridge_of(peer)
    assert bridge is not None
    assert bridge.call_of(peer).playout.rate_hz == 8_000
    async with front.http.post(f"/v1/calls/{peer.id}/hangup") as response:
        assert response.status == 202
    await peer.drain()
    assert await front.next(peer) == "hangup"
