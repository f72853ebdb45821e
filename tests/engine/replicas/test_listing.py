"""Replicas that come and go while calls are spoken to: they are read from a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import numpy as np
import pytest
from aiohttp import web

from engine.fleet.directory import FORGOTTEN_S, Directory
from engine.replicas.engine import ReplicasEngine
from engine.replicas.listing import MAX_BYTES, MAX_REPLICAS, Listing, read_list
from engine.speech import SpeechError, Style
from tests.engine.replicas.test_engine import PATIENCE_S, Place, said, until
from tests.support.counting_engine import CountingEngine, counted

NEAR = "http://127.0.0.1:8000/replicas"
FAR = "http://ray-head:8000/replicas"


class Head:
    """A server that lists replicas, or fails to."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.status = 200
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"replicas": [f"127.0.0.1:{place.port}" for place in self.places]}, status=self.status)


@asynccontextmanager
async def heading() -> AsyncIterator[Head]:
    head = Head()
    app = web.Application()
    app.router.add_get("/replicas", head.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    head.url = f"http://127.0.0.1:{runner.addresses[0][1]}/replicas"
    try:
        yield head
    finally:
        await runner.cleanup()
        for place in head.places:
            await place.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(Listing.__init__, "__defaults__", (0.02,))


def told(engine: ReplicasEngine) -> list[bool]:
    return [each["up"] for each in engine.status().details["replicas"]]


async def place(engine: CountingEngine) -> Place:
    made = Place(engine)
    await made.start()
    return made


async def test_replicas_that_come_are_spoken_by_and_those_that_go_are_forgotten_while_a_call_goes_on():
    async with heading() as head:
        head.places = [await place(CountingEngine(0.005))]
        engine = ReplicasEngine([], listed_at=head.url, start_s=PATIENCE_S, chance=Random(3))
        await engine.start()
        try:
            first = head.places[0]
            speaking = asyncio.create_task(said(engine, "word " * 20, Style(listener="call")))
            await until(lambda: first.engine.streams == 1)
            second = await place(CountingEngine())
            head.places = [first, second]
            await until(lambda: told(engine) == [True, True])
            for call in range(20):
                await said(engine, "one", Style(listener=str(call)))
            assert second.engine.styles, "new calls go there too"
            head.places = [first]
            await second.close()
            await until(lambda: told(engine) == [True])
            assert np.array_equal(await speaking, counted(20))
            assert engine.status().details["sentences_moved"] == 0
        finally:
            await engine.close()


async def test_a_replica_that_speaks_stays_though_the_list_is_empty_or_gone():
    """What lists them may have been started anew, and know of none yet."""
    async with heading() as head:
        places = head.places = [await place(CountingEngine(0.005))]
        engine = ReplicasEngine([], listed_at=head.url, start_s=PATIENCE_S)
        await engine.start()
        try:
            speaking = asyncio.create_task(said(engine, "word " * 20, Style(listener="call")))
            await until(lambda: places[0].engine.streams == 1)
            head.places = []
            asked = head.asked
            await until(lambda: head.asked > asked + 2)
            head.status = 503
            await until(lambda: any("503" in each for each in engine.status().warnings))
            assert np.array_equal(await speaking, counted(20))
            assert told(engine) == [True]
            head.status = 200
            await until(lambda: not engine.status().warnings)
        finally:
            await engine.close()
            await places[0].close()


async def test_the_voices_stay_known_when_the_first_replica_is_replaced():
    async with heading() as head:
        first, second = await place(CountingEngine()), await place(CountingEngine())
        head.places = [first]
        engine = ReplicasEngine([], listed_at=head.url, start_s=PATIENCE_S)
        await engine.start()
        try:
            head.places = []
            await first.close()
            await until(lambda: told(engine) == [])
            assert [voice.id for voice in engine.voices()] == ["one"]
            head.places = [second]
            await until(lambda: told(engine) == [True])
            assert np.array_equal(await said(engine, "one two", Style()), counted(2))
        finally:
            await engine.close()


async def test_an_alphabet_that_one_replica_does_not_read_is_sent_to_none():
    class Reader(CountingEngine):
        takes_ipa = True

    async with heading() as head:
        first = await place(Reader())
        head.places = [first]
        engine = ReplicasEngine([], listed_at=head.url, start_s=PATIENCE_S)
        await engine.start()
        try:
            assert engine.takes_ipa
            second = await place(CountingEngine())
            head.places = [first, second]
            await until(lambda: told(engine) == [True, True])
            assert not engine.takes_ipa
        finally:
            await engine.close()


async def test_a_start_without_a_list_says_why():
    engine = ReplicasEngine([], listed_at="http://127.0.0.1:1/replicas", start_s=1.0)
    with pytest.raises(SpeechError, match=r"^ENGINE_URLS_FROM: no replica answers: the list .* cannot be read: .*127"):
        await engine.start()


def test_a_list_is_read():
    listed = read_list(b'{"replicas": ["voice-1:7070", "[fe80::1]:7071", "voice-1:7070"], "more": 1}', FAR)
    assert [(each.host, each.port, each.tls) for each in listed] == [("voice-1", 7070, True), ("fe80::1", 7071, True)]
    assert [each.tls for each in read_list(b'{"replicas": ["127.0.0.1:7070"]}', NEAR)] == [False]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"replicas": "voice-1:7070"}',
        b'{"replicas": [1]}',
        b'{"replicas": ["voice-1"]}',
        b'{"replicas": ["127.0.0.1:7070"]}',
        b'{"replicas": ["localhost:7070"]}',
        b" " * (MAX_BYTES + 1),
        b'{"replicas": [' + b",".join(b'"a:%d"' % port for port in range(1, MAX_REPLICAS + 2)) + b"]}",
    ],
)
def test_a_list_that_is_none_is_refused(body):
    """A far list that has an address of this machine would have the token shown to whatever listens here."""
    with pytest.raises(ValueError):  # noqa: PT011 - each with a reason of its own
        read_list(body, FAR)


def test_a_directory_forgets_who_says_nothing_any_more():
    now_s = 100.0
    directory = Directory(lambda: now_s)
    for address in ("b:7070", "a:7070", "c:7070"):
        directory.note(address)
    directory.leave("c:7070")
    assert directory.listed() == ["a:7070", "b:7070"]
    now_s += FORGOTTEN_S - 1
    directory.note("b:7070")
    now_s += 2
    assert directory.listed() == ["b:7070"]
