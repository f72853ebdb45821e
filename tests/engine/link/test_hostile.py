"""Neither end of a link trusts the other: wrong bytes close that link, and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from engine.link.arrived import SILENT_LOOKS
from engine.link.connection import FRAMES_A_TURN, Connection
from engine.link.frames import FROM_ENGINE, Decoder, Frame, Kind, WrongBytes, encode
from engine.link.incoming import MAX_SOUND_BYTES, SHORT_PIECES, Incoming
from engine.link.link import ROOMS_AT_ONCE, Link, LinkLost
from engine.link.messages import Hello, Room, pack_sentence
from engine.link.peer import MAX_SENTENCES
from engine.link.server import LinkServer
from engine.speech import Priority, SpeechError, Style
from tests.support.fakes import LETTER_SAMPLES, FakeEngine
from tests.support.loop_clock import LoopClock
from tests.support.waiting import eventually, until

PATIENCE_S = 30
FEW = 10
MOST_KEPT_BYTES = 2**21
"""The kernel's buffers, and one read."""
PLAIN = Style()
HELLO = encode(Kind.HELLO, 0, Hello.of(FakeEngine(), ()).pack())
ROOM = encode(Kind.ROOM, 0, Room(FakeEngine().status(), 0, None, None, draining=False).pack())


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, socket.socket]]:
    """A link, and the socket of an engine that sends what the test wants."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = Link()
    await asyncio.get_running_loop().create_connection(lambda: link.connection, sock=ours)
    theirs.sendall(HELLO + ROOM)
    await link.greeted(PATIENCE_S)
    yield link, theirs
    link.close()
    theirs.close()


def changed(pack: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(pack), **fields}).encode()


WRONG = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no kind": encode(77),
    "the other end's kind": encode(Kind.OPEN, 1, b"{}"),
    "too long": (2**30).to_bytes(4, "little") + bytes([Kind.PCM]) + bytes(4),
    "a second hello": HELLO,
    "sound of no sentence": encode(Kind.PCM, 7, bytes(960)),
    "half a sample": encode(Kind.PCM, 1, bytes(961)),
    "no sound": encode(Kind.PCM, 1),
    "words that are none": encode(Kind.WORDS, 1, b'["x"]'),
    "words before the sentence": encode(Kind.WORDS, 1, b"[-5]"),
    "more words than letters": encode(Kind.WORDS, 1, json.dumps(list(range(100))).encode()),
    "an end with something": encode(Kind.END, 1, b"x"),
    "an error that is none": encode(Kind.FAILED, 1, b"[1, 2]"),
    "an error without its text": encode(Kind.FAILED, 1, b'{"error": "SpeechError"}'),
    "an error that is not even JSON": encode(Kind.FAILED, 1, b"\xff\xfe"),
    "room that is none": encode(Kind.ROOM, 0, b"null"),
    "room without end": encode(Kind.ROOM, 0, changed(ROOM[9:], slack_s=float("nan"))),
    "room for ages": encode(Kind.ROOM, 0, changed(ROOM[9:], slack_s=1e308)),
    "places without number": encode(Kind.ROOM, 0, changed(ROOM[9:], places=10**400)),
    "fewer sentences than none": encode(Kind.ROOM, 0, changed(ROOM[9:], sentences=-1)),
    "places by name": encode(Kind.ROOM, 0, changed(ROOM[9:], places="many")),
    "JSON without end": encode(Kind.ROOM, 0, b"[" * 60_000),
    "too much news": ROOM * (2 * ROOMS_AT_ONCE),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_wrong_bytes_from_an_engine_close_its_link_and_end_its_sentences(wrong):
    async with linked() as (link, theirs), linked() as (other, others):
        waiting = asyncio.create_task(anext(link.stream("hello", PLAIN)))
        await asyncio.sleep(0)
        theirs.setblocking(False)
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, wrong))
        await asyncio.wait_for(link.ended.wait(), PATIENCE_S)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        with pytest.raises(LinkLost):
            await waiting
        others.sendall(encode(Kind.PCM, 1, bytes(960)))
        assert (await anext(other.stream("hello", PLAIN))).size == 480, "the other link goes on"


@pytest.mark.parametrize("hello", [b"{}", changed(HELLO[9:], voices=[]), changed(HELLO[9:], sample_rate_hz=None)])
async def test_an_engine_that_does_not_say_what_it_is_is_not_spoken_with(hello):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = Link()
    await asyncio.get_running_loop().create_connection(lambda: link.connection, sock=ours)
    theirs.sendall(encode(Kind.HELLO, 0, hello))
    with pytest.raises(LinkLost):
        await link.greeted(PATIENCE_S)
    theirs.close()


async def test_what_an_engine_says_is_wrong_is_said_in_short():
    async with linked() as (link, theirs):
        theirs.sendall(encode(Kind.FAILED, 1, json.dumps({"error": "Odd", "message": "x" * 9_000}).encode()))
        with pytest.raises(SpeechError) as caught:
            await anext(link.stream("hello", PLAIN))
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize(
    ("pieces", "size"), [(SHORT_PIECES + 1, 2), (MAX_SOUND_BYTES // 2**20 + 1, 2**20)], ids=["small", "endless"]
)
def test_a_sentence_has_an_end_and_pieces_of_some_size(pieces, size):
    incoming, piece = Incoming(5), Frame(Kind.PCM, 1, bytes(size))
    for _ in range(pieces - 1):
        incoming.check(piece)
    with pytest.raises(WrongBytes):
        incoming.check(piece)


async def test_a_flood_is_left_in_the_kernels_buffers_and_leaves_the_loop_to_others():
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    handled = 0

    def take(frame: Frame) -> None:
        nonlocal handled
        handled += 1

    connection = Connection(FROM_ENGINE, take, lambda reason: None)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
    frame = encode(Kind.END, 1)
    flood, sent = frame * 20_000, 0
    for _ in range(300):
        with suppress(BlockingIOError):
            sent += theirs.send(flood)
        before = handled
        await asyncio.sleep(0)
        assert handled - before <= 2 * FRAMES_A_TURN
    assert handled > 100
    assert sent - handled * len(frame) < MOST_KEPT_BYTES
    connection.close()
    theirs.close()


async def test_wrong_bytes_to_an_engine_close_that_link_alone():
    server = LinkServer(FakeEngine())
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, theirs in pairs:
        theirs.settimeout(PATIENCE_S)
        await server.serve(ours)
    good, bad = (theirs for _, theirs in pairs)
    for wrong in (
        b"GET / HTTP/1.1\r\n\r\n",
        encode(Kind.PCM, 1, bytes(2)),
        encode(Kind.OPEN, 1, b"{}"),
        encode(Kind.OPEN, 1, changed(pack_sentence("a", PLAIN, 0.0), speed=99)),
        encode(Kind.OPEN, 1, changed(pack_sentence("a", PLAIN, 0.0), needed_in_s=float("inf"))),
        encode(Kind.OPEN, 1, changed(pack_sentence("a", PLAIN, 0.0), needed_in_s=1e308)),
        encode(Kind.OPEN, 1, changed(pack_sentence("a", PLAIN, 0.0), heard_s=1e308)),
        encode(Kind.OPEN, 1, pack_sentence("a" * 99, PLAIN, 0.0)) * 2,
    ):
        bad.sendall(wrong)
        await until(lambda: len(server) == 1)
        bad.close()
        ours, bad = socket.socketpair()
        await server.serve(ours)
    good.sendall(encode(Kind.OPEN, 1, pack_sentence("a", PLAIN, 0.0)))
    heard = bytearray()

    async def is_spoken():
        heard.extend(await asyncio.to_thread(good.recv, 2**16))
        return encode(Kind.END, 1) in heard

    await eventually(is_spoken, PATIENCE_S)
    decoder = Decoder(FROM_ENGINE)
    decoder.feed(bytes(heard))
    frames = list(iter(decoder.take, None))
    assert sum(len(frame.payload) for frame in frames if frame.kind == Kind.PCM) == 2 * LETTER_SAMPLES
    good.close()
    bad.close()
    await server.close()


async def test_an_engine_is_asked_for_so_many_sentences_at_once():
    engine = FakeEngine()
    engine.gate.clear()
    server = LinkServer(engine)
    ours, theirs = socket.socketpair()
    await server.serve(ours)
    theirs.setblocking(False)
    asked = b"".join(encode(Kind.OPEN, n, pack_sentence("a", PLAIN, 0.0)) for n in range(1, MAX_SENTENCES + 2))
    await asyncio.get_running_loop().sock_sendall(theirs, asked)
    await until(lambda: not len(server))
    await until(lambda: engine.streams == 0)
    assert len(engine.spoken) <= MAX_SENTENCES
    theirs.close()
    await server.close()


async def test_a_calls_sentence_of_which_nothing_comes_is_failed_and_no_other():
    """The link lives, but somebody hears silence."""
    async with linked() as (link, theirs):
        now_s = asyncio.get_running_loop().time()
        stuck, later, http = [
            asyncio.create_task(anext(link.stream("hello", style)))
            for style in (PLAIN, Style(needed_at_s=now_s + 1_000), Style(priority=Priority.HTTP))
        ]
        await asyncio.sleep(0)
        for _ in range(SILENT_LOOKS - 1):
            link.fail_silent()
        read = link.connection.read
        theirs.sendall(encode(Kind.WORDS, 1, b"[0]"))
        await until(lambda: link.connection.read > read)
        for _ in range(SILENT_LOOKS - 1):
            link.fail_silent()
        await asyncio.sleep(0)
        assert not stuck.done(), "something has come"
        link.fail_silent()
        with pytest.raises(SpeechError, match="nothing of a sentence came"):
            await stuck
        assert [later.done(), http.done(), bool(link.lost)] == [False] * 3
    for waiting in (later, http):
        with pytest.raises(LinkLost):
            await waiting


async def test_the_news_of_minutes_may_come_at_once():
    """A process that takes long to start, on a busy machine, finds all that was told meanwhile."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**21)
    theirs.sendall(ROOM * 100 + HELLO + ROOM * 300)
    rooms = []
    link = Link(on_room=rooms.append)
    await asyncio.get_running_loop().create_connection(lambda: link.connection, sock=ours)
    await until(lambda: len(rooms) == 400)
    assert not link.lost
    link.close()
    theirs.close()


async def test_a_link_that_is_lost_with_hundreds_of_sentences_leaves_the_loop_to_others():
    """Each of them has another engine asked for what is left of it."""
    async with linked() as (link, theirs):
        sentences = [asyncio.create_task(anext(link.stream("hello", PLAIN))) for _ in range(300)]
        await asyncio.sleep(0)
        theirs.close()
        most = ended = 0
        while ended < len(sentences):
            before = ended
            await asyncio.sleep(0)
            ended = sum(each.done() for each in sentences)
            most = max(most, ended - before)
        assert most <= FEW
        errors = await asyncio.gather(*sentences, return_exceptions=True)
        assert all(isinstance(error, LinkLost) for error in errors)


async def test_an_engine_that_says_nothing_is_given_up():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = Link()
    await asyncio.get_running_loop().create_connection(lambda: link.connection, sock=ours)
    with LoopClock() as clock:
        waiting = asyncio.create_task(link.greeted(3.0))
        await asyncio.sleep(0)
        clock.advance(3.0)
        with pytest.raises(LinkLost, match="within 3 s"):
            await waiting
    link.close()
    theirs.close()
