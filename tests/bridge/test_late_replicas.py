"""A bridge that is started before its replicas: calls hear the embedded voice, and the replicas once they are there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import aiohttp
import pytest

from bridge.app import App
from bridge.config import Settings
from engine.fallback import FallbackEngine
from engine.link.door import LinkDoor
from engine.link.server import LinkServer
from engine.replicas.address import Address
from engine.replicas.engine import ReplicasEngine
from engine.speech import SpeechError
from engine.status import EngineStatus
from tests.support.fakes import Asterisk, FakeEngine
from tests.support.waiting import eventually, until
from tests.support.whole_app import QUICK, Bench

PATIENCE_S = 30.0
TOKEN = "a token of some length"


class Pair:
    """The replica, which is not there yet, and the engine that stands in for it."""

    def __init__(self, port: int) -> None:
        self.replica, self.spare = FakeEngine(), FakeEngine()
        self.server = LinkServer(self.replica)
        self.door = LinkDoor(self.server, TOKEN)
        self.port = port

    def seen(self, token: str = TOKEN) -> FallbackEngine:
        """Both as a bridge has them."""
        return FallbackEngine(
            ReplicasEngine([Address("127.0.0.1", self.port, tls=False)], token, start_s=0.1), self.spare
        )

    async def come(self) -> None:
        await self.door.start("127.0.0.1", self.port)


@pytest.fixture
async def pair(unused_tcp_port: int) -> AsyncIterator[Pair]:
    pair = Pair(unused_tcp_port)
    yield pair
    await pair.door.close()
    await pair.server.close()


async def test_it_starts_says_so_and_speaks_with_them_once_they_are_there(pair: Pair) -> None:
    app = App(Settings.of(**QUICK, voice="two", greeting=""), pair.seen())
    await app.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}") as http:
            bench = Bench(app, pair.spare, http)
            health = await bench.get("/health")
            assert health["status"] == "loading"
            assert f"127.0.0.1:{pair.port}" in health["warnings"][0]
            status, _ = await bench.post("/v1/audio/speech", {"input": "Hello."})
            assert status == 503
            peer = await bench.call()
            await say_until_heard_by(bench, peer, pair.spare, "The spare one speaks.")

            await pair.come()

            async def is_there() -> bool:
                return bool((await bench.get("/health"))["status"] == "ok")

            await eventually(is_there, PATIENCE_S)
            assert (await bench.get("/health"))["warnings"] == []
            await say_until_heard_by(bench, peer, pair.replica, "The replica speaks.")
            assert pair.replica.spoken[-1][1] == "two", "the voice of the settings"
            await peer.close()
    finally:
        await app.stop()


async def say_until_heard_by(bench: Bench, peer: Asterisk, engine: FakeEngine, text: str) -> None:
    status, _ = await bench.post(f"/v1/calls/{peer.id}/say", {"text": text})
    assert status == 202
    await until(lambda: text in [sentence for sentence, _ in engine.spoken])


@pytest.mark.parametrize("token", ["a token of another", ""])
async def test_a_token_that_the_replica_refuses_stops_the_start(pair: Pair, token: str) -> None:
    await pair.come()
    app = App(Settings.of(**QUICK), pair.seen(token))
    with pytest.raises(SpeechError, match=r"ENGINE_URLS: no replica answers: .*it refuses the token: ENGINE_TOKEN"):
        await app.start()


class NotLoaded(FakeEngine):
    """What a worker sees of an engine without replicas."""

    def status(self) -> EngineStatus:
        return replace(super().status(), model_loaded=False)


async def test_an_apology_that_could_not_be_made_is_made_with_a_later_call() -> None:
    engine, apology = NotLoaded(), "I am sorry."
    app = App(Settings.of(**{**QUICK, "apology": apology}, greeting=""), engine)
    await app.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}") as http:
            bench = Bench(app, engine, http)
            engine.broken = True
            await (await bench.call()).close()
            await eventually(tried(engine, apology, 1), PATIENCE_S)
            engine.broken = False

            async def is_made() -> bool:
                await (await bench.call()).close()
                return await tried(engine, apology, 2)()

            await eventually(is_made, PATIENCE_S)
            await (await bench.call()).close()
            assert await tried(engine, apology, 2)(), "once it is there, no more"
    finally:
        await app.stop()


def tried(engine: FakeEngine, text: str, times: int) -> Callable[[], Awaitable[bool]]:
    async def is_tried() -> bool:
        return [sentence for sentence, _ in engine.spoken].count(text) == times

    return is_tried
