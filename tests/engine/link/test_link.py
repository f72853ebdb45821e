"""An engine over a link is the engine itself: its sound, its words, its errors and its cancelling."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace

import numpy as np
import pytest

from engine.link.client import LinkedEngine
from engine.link.connection import FRAMES_A_TURN, Connection
from engine.link.frames import FROM_ENGINE, TO_ENGINE, Decoder, Frame, Kind, WrongBytes, encode
from engine.link.link import Link
from engine.link.messages import pack_sentence, read_hello, read_room, read_sentence
from engine.link.peer import PIECE_SAMPLES
from engine.link.server import ROOM_EVERY_S, STUCK_TURNS, LinkServer
from engine.speech import EngineBusy, Priority, SpeechError, Style, UnknownVoice, UnspeakableText, Voice
from tests.support.fakes import LETTER_SAMPLES, LEVEL, FakeEngine
from tests.support.loop_clock import LoopClock
from tests.support.waiting import eventually, until

PATIENCE_S = 30
START_S = 300
"""As long as the supervisor lets a worker take."""
PLAIN = Style()


@asynccontextmanager
async def linked(engine: FakeEngine) -> AsyncIterator[tuple[LinkedEngine, LinkServer]]:
    ours, theirs = socket.socketpair()
    server = LinkServer(engine, ["alloy"])
    await server.serve(ours)
    client = LinkedEngine(theirs)
    await client.start()
    try:
        yield client, server
    finally:
        await client.close()
        await server.close()


class WordyEngine(FakeEngine):
    """Tells where words begin, and keeps the styles that it was asked for."""

    def __init__(self):
        super().__init__()
        self.styles = []

    async def stream(self, sentence, style):
        self.styles.append(style)
        if style.on_word_starts:
            style.on_word_starts(range(0, 10, 5))
        async for pcm in super().stream(sentence, style):
            yield pcm

    def resolve_voice(self, name):
        return "two" if name == "alloy" else super().resolve_voice(name)


class SlowEngine(FakeEngine):
    """Says a piece, and nothing more."""

    async def stream(self, sentence, style):
        yield np.zeros(960, np.int16)
        await asyncio.Event().wait()


async def samples(engine, sentence, style=PLAIN):
    return np.concatenate([pcm async for pcm in engine.stream(sentence, style)])


async def test_many_sentences_at_once_come_whole_each_to_its_own():
    async with linked(FakeEngine()) as (client, _):
        texts = ["a" * length for length in range(1, 30)]
        made = await asyncio.gather(*(samples(client, text) for text in texts))
    assert [pcm.size for pcm in made] == [len(text) * LETTER_SAMPLES for text in texts]
    assert all((pcm == LEVEL).all() for pcm in made)


async def test_a_long_piece_of_sound_is_sent_in_short_ones():
    class LongEngine(FakeEngine):
        async def stream(self, sentence, style):
            yield np.arange(60_000).astype(np.int16)

    async with linked(LongEngine()) as (client, _):
        pieces = [pcm async for pcm in client.stream("a", PLAIN)]
    assert max(pcm.size for pcm in pieces) <= PIECE_SAMPLES
    assert np.array_equal(np.concatenate(pieces), np.arange(60_000).astype(np.int16))


async def test_what_the_engine_is_is_known_from_the_start():
    async with linked(WordyEngine()) as (client, _):
        assert (client.name, client.sample_rate_hz) == ("fake", 24_000)
        assert client.status().model_loaded
        assert [client.resolve_voice(name) for name in ("", "Two", "alloy")] == ["one", "two", "two"]
        with pytest.raises(UnknownVoice) as caught:
            client.resolve_voice("nobody")
        assert caught.value.known == ("one", "two")


async def test_the_whole_style_arrives_and_words_are_told():
    starts = []
    style = Style("two", "en", "gently", 1.5, 0.7, 0.9, 3, priority=Priority.HTTP, on_word_starts=starts.extend)
    style = replace(style, listener="call", heard_s=2.5, sample_rate_hz=8_000)
    engine = WordyEngine()
    async with linked(engine) as (client, _):
        await samples(client, "one two", style)
    assert engine.styles == [style]
    assert (engine.styles[0].listener, engine.styles[0].heard_s) == ("call", 2.5)
    assert starts == [0, 5]


async def test_a_sentence_comes_at_the_rate_that_it_is_asked_for_where_the_engine_has_it():
    class Narrow(FakeEngine):
        other_rates_hz = (8_000,)

    for engine, rate_hz in ((Narrow(), 8_000), (FakeEngine(), 24_000)):
        async with linked(engine) as (client, _):
            style = Style(sample_rate_hz=8_000)
            assert client.rate_hz(style) == rate_hz
            assert (await samples(client, "one", style)).size == 3 * LETTER_SAMPLES * rate_hz // 24_000


def test_no_field_of_a_style_is_forgotten():
    """One that is new is to be sent, or named here: the engine at the other end does without it."""
    sent = set(json.loads(pack_sentence("a", PLAIN, 0.0))) - {"text", "word_starts", "needed_in_s"}
    in_another_form = {"needed_at_s", "on_word_starts"}
    not_sent = {"reference", "lexicon"}  # the latter is in the text already
    assert sent | in_another_form | not_sent == {each.name for each in fields(Style)}


def test_an_end_of_another_version_is_understood():
    """An older one does not tell all that is known today, a newer one tells more."""

    def read(told):
        return json.dumps({**told, "newer": [1]}).encode()

    voice = {"id": "one", "name": "One", "languages": ["*"], "newer": 1}
    hello = read_hello(read({"name": "old", "sample_rate_hz": 24_000, "voices": [voice], "names": {"": "one"}}))
    assert (hello.resolve_voice(""), hello.takes_ipa, hello.deterministic) == ("one", False, False)
    status = {"engine": "old", "model_id": "", "model_loaded": True, "queue_depth": 0, "newer": 1}
    room = read_room(read({"status": status, "sentences": 3}))
    assert (room.sentences, room.status.ready, room.draining) == (3, True, False)
    assert read_sentence(read({"text": "a", "voice": "one"}), 0.0, list) == ("a", Style("one"))


async def test_when_it_is_needed_is_told_as_seconds_from_now():
    engine = WordyEngine()
    async with linked(engine) as (client, _):
        await samples(client, "a", Style(needed_at_s=asyncio.get_running_loop().time() + 60))
    left_s = engine.styles[0].needed_at_s - asyncio.get_running_loop().time()
    assert 60 - PATIENCE_S < left_s <= 60


@pytest.mark.parametrize(
    ("trouble", "error"),
    [({"busy": 1}, EngineBusy), ({"unspeakable": ("a",)}, UnspeakableText), ({"broken": True}, SpeechError)],
)
async def test_an_error_is_the_engines_own(trouble, error):
    engine = FakeEngine()
    vars(engine).update(trouble)
    async with linked(engine) as (client, _):
        with pytest.raises(SpeechError) as caught:
            await samples(client, "a")
    assert type(caught.value) is error


async def test_a_stream_that_is_closed_ends_the_work():
    engine = FakeEngine()
    engine.gate.clear()
    async with linked(engine) as (client, _):
        waiting = asyncio.create_task(samples(client, "a"))
        await until(lambda: engine.streams == 1)
        waiting.cancel()
        await until(lambda: engine.streams == 0)
        engine.gate.set()
        assert (await samples(client, "b")).size == LETTER_SAMPLES, "the next one is spoken"


async def test_whoever_leaves_takes_only_its_own_sentences():
    engine = FakeEngine()
    engine.gate.clear()
    server = LinkServer(engine)
    clients = []
    for _ in range(2):
        ours, theirs = socket.socketpair()
        await server.serve(ours)
        clients.append(LinkedEngine(theirs))
        await clients[-1].start()
    waiting = [asyncio.create_task(samples(client, "a")) for client in clients]
    await until(lambda: engine.streams == 2)
    await clients[0].close()
    await until(lambda: engine.streams == 1)
    engine.gate.set()
    assert (await waiting[1]).size == LETTER_SAMPLES
    with pytest.raises(SpeechError, match="lost"):
        await waiting[0]
    await server.close()


async def test_a_lost_engine_fails_what_is_asked_and_what_will_be():
    engine = FakeEngine()
    engine.gate.clear()
    async with linked(engine) as (client, server):
        waiting = asyncio.create_task(samples(client, "a"))
        await until(lambda: engine.streams == 1)
        await server.close()
        with pytest.raises(SpeechError, match="lost"):
            await waiting
        with pytest.raises(SpeechError, match="lost"):
            await samples(client, "b")


async def test_a_rush_of_sound_leaves_the_loop_to_others():
    ours, theirs = socket.socketpair()
    heard = []
    connection = Connection(FROM_ENGINE, heard.append, lambda reason: None)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=theirs)
    sound = encode(Kind.PCM, 1, b"ab") * 50
    connection.get_buffer(-1)[: len(sound)] = sound
    connection.buffer_updated(len(sound))
    assert len(heard) == FRAMES_A_TURN
    await until(lambda: len(heard) == 50)
    connection.close()
    ours.close()


def test_frames_come_out_whole_in_whatever_pieces_they_arrive():
    stream = encode(Kind.PCM, 7, b"text") + encode(Kind.END, 8) + encode(Kind.PCM, 2**32 - 1, bytes(300))
    whole = [Frame(Kind.PCM, 7, b"text"), Frame(Kind.END, 8, b""), Frame(Kind.PCM, 2**32 - 1, bytes(300))]
    for size in (1, 2, 9, 1000):
        decoder, frames = Decoder(FROM_ENGINE), []
        for start in range(0, len(stream), size):
            decoder.feed(stream[start : start + size])
            while (frame := decoder.take()) is not None:
                frames.append(frame)
        assert frames == whole


@pytest.mark.parametrize("limits", [FROM_ENGINE, TO_ENGINE])
def test_a_frame_that_is_too_long_is_refused_by_its_head(limits):
    for kind, limit in limits.items():
        decoder = Decoder(limits)
        decoder.feed((limit + 1).to_bytes(4, "little") + bytes([kind]) + bytes(4))
        with pytest.raises(WrongBytes, match="bytes"):
            decoder.take()


@pytest.mark.parametrize(("limits", "kind"), [(FROM_ENGINE, Kind.OPEN), (TO_ENGINE, Kind.PCM), (TO_ENGINE, 99)])
def test_a_frame_of_the_other_end_or_of_nobody_is_refused(limits, kind):
    decoder = Decoder(limits)
    decoder.feed(encode(kind, 1))
    with pytest.raises(WrongBytes, match="kind"):
        decoder.take()


async def test_a_cancelled_sentence_is_answered_so_that_nothing_of_it_is_awaited_any_more():
    """A peer knows by this what may still come: all else is a fault of the other end."""
    engine = FakeEngine()
    engine.gate.clear()
    ours, theirs = socket.socketpair()
    server = LinkServer(engine)
    await server.serve(ours)
    frames = []
    connection = Connection(FROM_ENGINE, frames.append, lambda reason: None)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=theirs)
    connection.send(Kind.OPEN, 5, pack_sentence("a", PLAIN, 0.0))
    connection.send(Kind.CANCEL, 5)
    await until(lambda: Frame(Kind.END, 5, b"") in frames)
    assert [frame.kind for frame in frames if frame.number == 5] == [Kind.END], "there is no sound, and one end"
    connection.close()
    await server.close()


async def test_only_what_callers_hear_counts_as_slack():
    engine = SlowEngine()
    rooms = []
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    server, link = LinkServer(engine), Link(on_room=rooms.append)
    await server.serve(ours)
    await asyncio.get_running_loop().create_connection(lambda: link.connection, sock=theirs)
    for priority, slack in ((Priority.BULK, False), (Priority.HTTP, False), (Priority.CALL, True)):
        stream = link.stream("a", Style(priority=priority))
        await anext(stream)
        rooms.clear()
        await until(lambda: len(rooms) > 1)
        assert (rooms[-1].slack_s is not None) is slack
        assert rooms[-1].sentences == 1
        await stream.aclose()
        await until(lambda: rooms[-1].sentences == 0)
    link.close()
    await server.close()


async def test_a_peer_that_does_not_read_loses_its_link_and_its_places():
    engine = FakeEngine()
    ours, theirs = socket.socketpair()
    server = LinkServer(engine)
    await server.serve(ours)
    theirs.setblocking(False)
    # It asks for far more than all buffers hold, and reads nothing.
    theirs.sendall(b"".join(encode(Kind.OPEN, n, pack_sentence("a" * 400, PLAIN, 0.0)) for n in range(1, 40)))
    await until(lambda: engine.streams > 0)
    with LoopClock() as clock:
        for _ in range(STUCK_TURNS + 2):
            clock.advance(ROOM_EVERY_S)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await until(lambda: engine.streams == 0)
    assert len(server) == 0
    theirs.close()
    await server.close()


async def test_a_peer_that_reads_slowly_keeps_its_link():
    """A narrow line is full whenever it is looked, though all on it moves."""
    engine = FakeEngine()
    ours, theirs = socket.socketpair()
    server = LinkServer(engine)
    await server.serve(ours)
    theirs.setblocking(False)
    theirs.sendall(b"".join(encode(Kind.OPEN, n, pack_sentence("a" * 400, PLAIN, 0.0)) for n in range(1, 40)))
    await until(lambda: engine.streams > 0)
    with LoopClock() as clock:
        for _ in range(2 * STUCK_TURNS):
            read = 0
            while read < 2**18:
                piece = await asyncio.get_running_loop().sock_recv(theirs, 2**18)
                assert piece, "the link is closed"
                read += len(piece)
            for _ in range(8):
                await asyncio.sleep(0)
            clock.advance(ROOM_EVERY_S)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    theirs.close()
    await server.close()


async def test_a_process_of_the_same_server_may_take_long_to_start():
    """It has its end of the link from the beginning, and reads nothing until it has loaded what it needs."""
    ours, theirs = socket.socketpair()
    server, client = LinkServer(FakeEngine(), ["alloy"]), LinkedEngine(theirs)
    await server.serve(ours)
    with LoopClock() as clock:
        for _ in range(round(START_S / ROOM_EVERY_S)):
            clock.advance(ROOM_EVERY_S)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert len(server) == 1
    await client.start()
    assert (await samples(client, "a")).size == LETTER_SAMPLES
    await client.close()
    await server.close()


async def test_a_process_of_the_same_server_hears_anew_what_the_engine_is():
    engine = FakeEngine()
    async with linked(engine) as (client, _):
        with pytest.raises(UnknownVoice):
            client.resolve_voice("late")
        engine.takes_ipa = True
        engine.voices = lambda: [Voice("late", "Late", ("*",))]

        async def told():
            return client.takes_ipa

        await eventually(told, PATIENCE_S)
        assert client.resolve_voice("late") == "late"
        assert await anext(client.stream("hello", PLAIN)) is not None, "the link is the same"
