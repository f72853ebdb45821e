"""Several replicas speak as one engine: a call stays with one, and goes on with another where that one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import numpy as np
import pytest

from engine.link.door import LinkDoor
from engine.link.server import LinkServer
from engine.replicas import engine as engine_module
from engine.replicas.address import Address
from engine.replicas.engine import ReplicasEngine
from engine.speech import (
    CannotClone,
    EngineBusy,
    EngineNotReady,
    SpeechError,
    Style,
    UnknownVoice,
    Voice,
    VoiceReference,
)
from tests.support.counting_engine import RATE_HZ, WORD_SAMPLES, CountingEngine, counted
from tests.support.loop_clock import LoopClock
from tests.support.waiting import until

PATIENCE_S = 30
TEN_WORDS = "one two three four five six seven eight nine ten"
OFF_MS = 60


class Place:
    """A replica in this process."""

    def __init__(self, engine: CountingEngine) -> None:
        self.engine = engine
        self.server = LinkServer(engine)
        self.door = LinkDoor(self.server)
        self.port = 0

    async def start(self) -> None:
        self.port = await self.door.start("127.0.0.1", self.port)

    async def close(self) -> None:
        await self.door.close()
        await self.server.close()


@asynccontextmanager
async def speaking(*engines: CountingEngine) -> AsyncIterator[tuple[ReplicasEngine, list[Place]]]:
    places = [Place(engine) for engine in engines]
    for place in places:
        await place.start()
    addresses = [Address("127.0.0.1", place.port, tls=False) for place in places]
    client = ReplicasEngine(addresses, start_s=PATIENCE_S, chance=Random(3))
    await client.start()
    try:
        yield client, places
    finally:
        await client.close()
        for place in places:
            await place.close()


async def said(engine, sentence, style):
    return np.concatenate([pcm async for pcm in engine.stream(sentence, style)])


async def said_on(stream):
    return [pcm async for pcm in stream]


async def test_a_call_is_spoken_to_by_one_replica_and_calls_by_both():
    first, second = CountingEngine(), CountingEngine()
    async with speaking(first, second) as (client, _):
        for call in range(20):
            for _ in range(3):
                await said(client, "one two", Style(listener=f"call {call}"))
    homes = [{style.listener for style in engine.styles} for engine in (first, second)]
    assert not homes[0] & homes[1], "no call changes its replica"
    assert all(homes)
    assert sum(map(len, homes)) == 20


async def test_a_new_call_goes_where_most_places_are_free_while_the_others_stay():
    small, large = CountingEngine(places=4), CountingEngine(places=400)
    async with speaking(small, large) as (client, _):
        await until(lambda: all(each["places"] for each in client.status().details["replicas"]))
        for call in range(10):
            await said(client, "one", Style(listener=str(call)))
        assert not small.styles
        assert client.status().capacity == 404


async def test_what_was_asked_since_a_replica_has_told_of_its_room_counts():
    """A burst of calls comes within the tenth of a second between two reports."""
    engines = CountingEngine(0.01, places=8), CountingEngine(0.01, places=8)
    async with speaking(*engines) as (client, _):
        await asyncio.gather(*(said(client, "one", Style(listener=str(call))) for call in range(10)))
    assert [len(engine.styles) for engine in engines] == [5, 5]


async def test_a_fault_in_the_middle_of_a_sentence_loses_no_word_and_says_none_twice():
    first, second = CountingEngine(places=400), CountingEngine(places=4)
    first.fails_after_samples = 4 * WORD_SAMPLES + 960
    starts = []
    async with speaking(first, second) as (client, _):
        made = await said(client, TEN_WORDS, Style(listener="call", on_word_starts=starts.extend))
        assert client.status().details["sentences_moved"] == 1
        await said(client, "one", Style(listener="call"))
    assert np.array_equal(made, counted(10))
    assert starts == [place * WORD_SAMPLES for place in range(10)]
    assert [round(style.heard_s, 3) for style in second.styles] == [0.44, 0.0], "it is told how much was heard"
    assert len(first.styles) == 1, "the call stays where it has gone"


async def test_replicas_speak_at_their_own_rate_whatever_a_call_s_is():
    """What two of them have made is joined, so that it has to be of one rate."""

    class Narrow(CountingEngine):
        other_rates_hz = (8_000,)

    engine, style = Narrow(), Style(sample_rate_hz=8_000)
    async with speaking(engine) as (client, _):
        assert client.rate_hz(style) == RATE_HZ
        await said(client, "one", style)
    assert engine.rate_hz(engine.styles[0]) == RATE_HZ


class ChirpingEngine(CountingEngine):
    """Says each word as a sound of its own, at a pace of its own: no two of its kind say it alike."""

    def __init__(self, word_s: float) -> None:
        super().__init__()
        self.word_samples = round(word_s * RATE_HZ)

    def sound(self, sentence):
        times = np.arange(self.word_samples) / self.word_samples
        words = [
            np.sin(2 * np.pi * (30 + 17 * (place * 5 % 11)) * times + (40 + 9 * place) * times**2)
            for place, _ in enumerate(sentence.split())
        ]
        return np.rint(8_000 * np.concatenate(words)).astype(np.int16)

    def deterministic(self, style):
        return False


class CrowdedEngine(CountingEngine):
    """Has no place for the sentences that are asked for first."""

    def __init__(self, refuses: int) -> None:
        super().__init__(places=4)
        self.refuses = refuses

    async def stream(self, sentence, style):
        if self.refuses:
            self.refuses -= 1
            raise EngineBusy("no place")
        async for pcm in super().stream(sentence, style):
            yield pcm


async def test_a_sentence_that_was_cut_off_waits_for_a_place():
    first = CountingEngine(places=400)
    first.fails_after_samples = 4 * WORD_SAMPLES
    async with speaking(first, CrowdedEngine(refuses=2)) as (client, _):
        assert np.array_equal(await said(client, TEN_WORDS, Style()), counted(10))
        assert client.status().details["sentences_moved"] == 1


async def test_a_sentence_that_was_heard_in_part_is_not_one_that_was_refused():
    """Whoever is refused asks for all of it once more, and its caller would hear the beginning twice."""
    first = CountingEngine(places=400)
    first.fails_after_samples = 4 * WORD_SAMPLES
    async with speaking(first, CrowdedEngine(refuses=1_000)) as (client, _):
        with pytest.raises(SpeechError) as caught:
            await said(client, TEN_WORDS, Style())
    assert not isinstance(caught.value, EngineBusy)


async def test_another_reading_goes_on_where_the_first_was_cut_off():
    first, second = ChirpingEngine(0.2), ChirpingEngine(0.23)
    first.places, second.places = 400, 4
    first.fails_after_samples = 24_000
    async with speaking(first, second) as (client, _):
        made = await said(client, TEN_WORDS, Style())
    assert np.array_equal(made[:24_000], first.sound(TEN_WORDS)[:24_000])
    meant = second.sound(TEN_WORDS)[round(24_000 * 0.23 / 0.2) :]
    assert abs(made.size - 24_000 - meant.size) / RATE_HZ * 1000 < OFF_MS
    assert np.array_equal(made[-12_000:], meant[-12_000:])


async def test_a_replica_that_drains_ends_its_sentence_and_its_calls_go_on_elsewhere():
    engines = [CountingEngine(0.002), CountingEngine(0.002)]
    async with speaking(*engines) as (client, places):
        style = Style(listener="call")
        running = asyncio.create_task(said(client, TEN_WORDS, style))
        await until(lambda: any(engine.streams for engine in engines))
        home = next(place for place in places if place.engine.streams)
        other = next(place for place in places if place is not home)
        await home.server.drain(PATIENCE_S)
        assert np.array_equal(await running, counted(10))
        await until(lambda: any(each.get("draining") for each in client.status().details["replicas"]))
        await said(client, "one", style)
        assert (len(home.engine.styles), len(other.engine.styles)) == (1, 1)
        assert client.status().details["sentences_moved"] == 0


async def test_a_replica_that_is_gone_is_told_of_and_used_again_once_it_is_back():
    engines = [CountingEngine(), CountingEngine()]
    async with speaking(*engines) as (client, places):
        await places[0].close()
        await until(lambda: not client.status().details["replicas"][0]["up"])
        told = client.status()
        assert told.ready
        assert told.details["replicas"][0]["losses"] == 1
        assert len(told.warnings) == 1
        assert np.array_equal(await said(client, TEN_WORDS, Style()), counted(10))
        again = places[0] = Place(engines[0])
        again.port = int(told.details["replicas"][0]["replica"].rpartition(":")[2])
        await again.start()
        await until(lambda: client.status().details["replicas"][0]["up"])
        assert not client.status().warnings


async def test_a_replica_whose_engine_starts_again_is_told_of_and_not_asked():
    """It is reached, but a GPU has failed."""
    engines = [CountingEngine(), CountingEngine()]
    async with speaking(*engines) as (client, _):
        engines[0].ready = False
        await until(lambda: not client.status().details["replicas"][0]["up"])
        assert [warning.endswith("not ready") for warning in client.status().warnings] == [True]
        for call in range(10):
            await said(client, "one", Style(listener=str(call)))
        assert not engines[0].styles
        engines[0].ready = True
        await until(lambda: not client.status().warnings)


async def test_a_lone_replica_whose_link_is_lost_for_a_moment_goes_on_itself():
    engine = CountingEngine(0.002)
    async with speaking(engine) as (client, places):
        heard = []
        async for pcm in client.stream(TEN_WORDS, Style(listener="call")):
            heard.append(pcm)
            if len(heard) == 20:
                await places[0].close()
                await places[0].start()
        assert np.array_equal(np.concatenate(heard), counted(10))
        assert client.status().details["sentences_moved"] == 1


async def test_a_sentence_that_was_cut_off_waits_only_for_a_while():
    engine = CountingEngine(0.002)
    async with speaking(engine) as (client, places):
        stream = client.stream(TEN_WORDS, Style())
        await anext(stream)
        await places[0].close()
        with LoopClock() as clock:
            rest = asyncio.create_task(anext(stream))
            while not rest.done():
                clock.advance(0.1)
                await asyncio.sleep(0)
            with pytest.raises(SpeechError):
                rest.result()


async def test_a_fault_of_the_only_replica_is_told_at_once(monkeypatch):
    """It would fail the sentence again: its caller need not wait for that."""
    monkeypatch.setattr(engine_module, "AGAIN_S", 2 * PATIENCE_S)
    engine = CountingEngine()
    engine.fails_after_samples = WORD_SAMPLES
    async with speaking(engine) as (client, _):
        with pytest.raises(SpeechError):
            await asyncio.wait_for(said(client, TEN_WORDS, Style()), PATIENCE_S)


async def test_its_end_ends_every_sentence(monkeypatch):
    monkeypatch.setattr(engine_module, "AGAIN_S", 2 * PATIENCE_S)
    async with speaking(CountingEngine(0.01)) as (client, _):
        stream = client.stream(TEN_WORDS, Style())
        await anext(stream)
        await client.close()
        with pytest.raises(SpeechError):
            await asyncio.wait_for(said_on(stream), PATIENCE_S)


async def test_no_replica_at_all_is_an_engine_that_is_not_ready():
    async with speaking(CountingEngine()) as (client, places):
        await places[0].close()
        await until(lambda: not client.status().ready)
        with pytest.raises(EngineNotReady):
            await said(client, "one", Style())
        assert [voice.id for voice in client.voices()] == ["one"], "what it is stays known"


async def test_a_start_without_any_replica_says_why_and_finds_it_when_it_comes(unused_tcp_port):
    client = ReplicasEngine([Address("127.0.0.1", unused_tcp_port, tls=False)], start_s=0.1)
    place = Place(CountingEngine())
    place.port = unused_tcp_port
    try:
        with pytest.raises(EngineNotReady, match=r"ENGINE_URLS: no replica answers: 127.0.0.1:\d+: .*[Cc]onnect"):
            await client.start()
        assert client.voices() == ()
        assert client.resolve_voice("nobody") == "nobody", "it will be seen whom they have"
        assert not client.status().ready
        with pytest.raises(EngineNotReady):
            await said(client, "one", Style())
        await place.start()
        await until(lambda: client.status().ready)
        assert np.array_equal(await said(client, "one two", Style()), counted(2))
        assert [voice.id for voice in client.voices()] == ["one"]
        with pytest.raises(UnknownVoice):
            client.resolve_voice("nobody")
    finally:
        await client.close()
        await place.close()


async def test_a_list_without_replicas_is_told_of(unused_tcp_port):
    client = ReplicasEngine([], listed_at=f"http://127.0.0.1:{unused_tcp_port}/replicas", start_s=0.1)
    with pytest.raises(EngineNotReady, match="ENGINE_URLS_FROM: no replica answers"):
        await client.start()
    try:
        assert client.status().warnings[-1] == "no replica is listed"
    finally:
        await client.close()


async def test_replicas_whose_places_are_all_taken_refuse_what_is_no_calls():
    engines = CountingEngine(0.01, places=1), CountingEngine(0.01, places=1)
    async with speaking(*engines) as (client, _):
        client.check_room()
        running = [asyncio.create_task(said(client, TEN_WORDS, Style())) for _ in engines]
        await until(lambda: all(engine.streams for engine in engines))
        with pytest.raises(EngineBusy):
            client.check_room()
        await asyncio.gather(*running)


async def test_replicas_that_read_ipa_are_given_it():
    reading = CountingEngine()
    reading.takes_ipa = True
    for engine in (reading, CountingEngine()):
        async with speaking(engine) as (client, _):
            assert client.takes_ipa is engine.takes_ipa


async def test_a_replica_that_is_not_like_the_first_is_told_of():
    engines = [CountingEngine() for _ in range(3)]
    engines[1].voices = lambda: [Voice("one", "One", ("*",)), Voice("two", "Two", ("*",))]
    async with speaking(*engines) as (client, places):
        await until(lambda: all(each["up"] for each in client.status().details["replicas"]))
        assert client.status().warnings == (
            f"127.0.0.1:{places[1].port}: its engine or its voices differ from the first one's",
        )


async def test_a_barge_in_ends_the_work():
    engine = CountingEngine(0.01)
    async with speaking(engine) as (client, _):
        stream = client.stream(TEN_WORDS, Style())
        await anext(stream)
        await stream.aclose()
        await until(lambda: not engine.streams)
        assert len(engine.styles) == 1, "nobody else was asked for the rest"


async def test_what_no_replica_can_do_is_not_tried_elsewhere():
    async with speaking(CountingEngine(), CountingEngine()) as (client, _):
        with pytest.raises(UnknownVoice):
            client.resolve_voice("nobody")
        recording = VoiceReference(np.zeros(10, np.int16), RATE_HZ)
        with pytest.raises(CannotClone):
            await said(client, "one", Style(reference=recording))
