"""A call over chan_websocket, on real sockets: the same call, with the same limits, as over AudioSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import aiohttp
import pytest

from bridge.calls_api.call_token import call_token, dialplan_secret
from bridge.line import connection as connection_module
from bridge.line.audiosocket import Kind
from bridge.line.call import CallObserver
from bridge.line.websocket import Control
from tests.support.fakes import CallEnd
from tests.support.websocket_peer import WebSocketAsterisk
from tests.support.whole_app import Bench, whole_app

KEY = "opensesame"
LONG_EVENT = f'{{"event": "MEDIA_MARK_PROCESSED", "correlation_id": "{"1" * 2_000}"}}'


class Ear(CallObserver):
    """Keeps what the caller says."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, int]] = []
        self.pressed = asyncio.Event()

    def audio_received(self, pcm: bytes, rate_hz: int) -> None:
        self.heard.append((pcm, rate_hz))

    def digit_received(self, digit: str) -> None:
        self.pressed.set()


@asynccontextmanager
async def calling(bench: Bench, rate: str = "slin") -> AsyncIterator[WebSocketAsterisk]:
    """A call, from when its greeting is heard."""
    peer = await WebSocketAsterisk.calling(bench.http, rate)
    try:
        await peer.hear(voiced=True)
        yield peer
    finally:
        await peer.close()


async def until_told(peer: WebSocketAsterisk, command: str) -> None:
    """Takes what comes until the server has told that."""
    while command not in peer.commands:
        assert await peer.receive() is not None


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with whole_app(greeting="Hello there.") as bench:
        yield bench


@pytest.mark.parametrize(("rate", "kind"), [("slin", Kind.SLIN8), ("slin16", Kind.SLIN16)])
async def test_the_agent_is_heard_at_the_rate_of_the_channel(bench: Bench, rate: str, kind: Kind) -> None:
    async with calling(bench, rate) as peer:
        assert (await peer.hear(voiced=True)).kind == kind
        assert (await peer.hear(voiced=False)).kind == kind


async def test_sound_that_comes_along_with_the_rate_has_that_rate(bench: Bench) -> None:
    peer = await WebSocketAsterisk.upgraded(bench.http)
    await peer.tell("MEDIA_START", format="slin16", channel="WebSocket/x/0x1")
    await peer.socket.send_bytes(bytes(640))  # the server reads both at once
    assert (await peer.hear(voiced=True)).kind == Kind.SLIN16
    await peer.close()


async def test_a_call_leaves_its_place_among_the_connections_of_http() -> None:
    async with whole_app(greeting="Hello.", max_connections=3) as bench:
        peers = [await WebSocketAsterisk.calling(bench.http) for _ in range(5)]
        for peer in peers:
            assert (await peer.hear(voiced=True)).kind == Kind.SLIN8
        async with bench.http.get("/health") as answer:
            assert answer.status == 200, "there is room for others beside five calls"
        for peer in peers:
            await peer.close()


async def test_what_the_caller_says_and_presses_arrives(bench: Bench) -> None:
    async with calling(bench) as peer:
        ear, said = Ear(), bytes(range(256)) + bytes(64)
        call = bench.call_of(peer)
        call.observe(ear)
        await peer.socket.send_bytes(said)
        await peer.tell("DTMF_END", digit="7")
        await asyncio.wait_for(ear.pressed.wait(), 30)
        assert call.dtmf == "7"
        assert ear.heard == [(said, 8_000)]


async def test_our_hangup_waits_until_asterisk_has_played_what_it_holds(bench: Bench) -> None:
    async with calling(bench) as peer:
        bench.call_of(peer).hang_up()
        heard = await peer.drain()
        assert peer.commands[-2:] == ["MARK_MEDIA", "HANGUP"]
        assert sum(any(message.payload) for message in heard) > 20, "the greeting is said to its end"


async def test_our_hangup_comes_also_if_asterisk_does_not_tell(bench: Bench) -> None:
    async with calling(bench) as peer:
        peer.answers_marks = False
        bench.call_of(peer).hang_up()
        heard = await peer.drain()
        assert peer.commands[-2:] == ["MARK_MEDIA", "HANGUP"]
        assert sum(any(message.payload) for message in heard) > 20, "the greeting is said to its end"


async def test_an_interruption_has_asterisk_drop_what_it_holds(bench: Bench) -> None:
    async with calling(bench) as peer:
        assert bench.call_of(peer).interrupt().interrupted
        await until_told(peer, "FLUSH_MEDIA")
        peer.commands.clear()
        assert not bench.call_of(peer).interrupt().interrupted
        await peer.socket.ping()
        while (message := await peer.receive()) is not None and message.kind != Control.PONG:
            pass
        assert "FLUSH_MEDIA" not in peer.commands, "there was nothing to drop"


async def test_the_caller_hangs_up(bench: Bench) -> None:
    async with calling(bench) as peer:
        call = bench.call_of(peer)
        await peer.close()
        await CallEnd(call).wait()
        assert call.end_reason == "caller hung up"


@pytest.mark.parametrize("wrong", ["x", "[]", LONG_EVENT])
async def test_wrong_bytes_end_that_call_alone(bench: Bench, wrong: str) -> None:
    async with calling(bench) as peer, calling(bench) as other:
        call = bench.call_of(peer)
        await peer.socket.send_str(wrong)
        await CallEnd(call).wait()
        assert call.end_reason.startswith("lost: ")
        await other.hear(voiced=False)
        bench.call_of(other).say("Still here.")
        await other.hear(voiced=True)


@pytest.mark.parametrize(
    "first",
    ['{"event": "MEDIA_START", "format": "ulaw"}', '{"event": "DTMF_END", "digit": "1"}', "MEDIA_START format:slin"],
)
async def test_what_does_not_begin_as_a_call_is_none(bench: Bench, first: str) -> None:
    peer = await WebSocketAsterisk.upgraded(bench.http)
    await peer.socket.send_str(first)
    assert await peer.drain() == []
    assert not len(bench.app.calls)


async def test_who_says_nothing_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "UUID_DEADLINE_S", 0.05)
    peer = await WebSocketAsterisk.upgraded(bench.http)
    assert await peer.drain() == []


async def test_keys_are_taken_in_as_fast_as_anybody_types(bench: Bench) -> None:
    async with calling(bench) as peer:
        for _ in range(200):
            await peer.tell("DTMF_END", digit="5")
        await peer.socket.ping(b"after them")
        while (message := await peer.receive()) is not None and message.kind != Control.PONG:
            pass
        assert message is not None
        assert message.payload == b"after them"
        assert 20 <= len(bench.call_of(peer).dtmf) < 200


async def test_a_full_server_says_so_before_the_call() -> None:
    async with whole_app(greeting="Hello.", max_calls=1) as bench, calling(bench):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await WebSocketAsterisk.calling(bench.http)
        assert refusal.value.status == 503


async def test_a_call_comes_in_with_its_token_only() -> None:
    async with whole_app(greeting="Hello.", api_key=KEY) as bench:
        secret = dialplan_secret(KEY)
        for token in (None, "", call_token(secret, str(uuid4()))):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await WebSocketAsterisk.calling(bench.http, token=token)
            assert refusal.value.status == 401
        call_id = uuid4()
        peer = await WebSocketAsterisk.calling(bench.http, call_id=call_id, token=call_token(secret, str(call_id)))
        await peer.hear(voiced=True)
        await peer.close()


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?id=1", 400), (f"?id={UUID(int=1)}", 426)])
async def test_a_request_that_brings_no_call_is_told(bench: Bench, query: str, status: int) -> None:
    async with bench.http.get(f"/v1/media{query}") as response:
        assert response.status == status
