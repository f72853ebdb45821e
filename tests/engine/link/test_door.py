"""Who may have an engine speak over TCP: who shows its token, over TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from engine.link.door import MAX_STRANGERS, TOKEN_S, LinkDoor
from engine.link.frames import Kind, encode
from engine.link.link import Link, LinkLost
from engine.link.messages import pack_sentence
from engine.link.server import LinkServer
from engine.replicas.address import Address
from engine.replicas.engine import ReplicasEngine
from engine.replicas.tls import client_context, server_context
from engine.speech import SpeechError, Style
from tests.support.certificate import make_certificate
from tests.support.counting_engine import CountingEngine, counted
from tests.support.loop_clock import LoopClock
from tests.support.waiting import until

PATIENCE_S = 30
TOKEN = "a token of some length"
OPEN = encode(Kind.OPEN, 1, pack_sentence("one", Style(), 0.0))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@asynccontextmanager
async def listening(token: str = TOKEN, tls=None) -> AsyncIterator[tuple[int, LinkServer, CountingEngine]]:
    engine = CountingEngine()
    server = LinkServer(engine)
    door = LinkDoor(server, token, tls)
    try:
        yield await door.start("127.0.0.1", 0), server, engine
    finally:
        await door.close()
        await server.close()


async def spoken(port: int, token: str, host: str = "127.0.0.1", *, tls=False, ca: Path | None = None) -> bytes:
    """What a bridge with this token gets to hear."""
    client = ReplicasEngine([Address(host, port, tls)], token, ca, start_s=1.0)
    await client.start()
    try:
        return np.concatenate([pcm async for pcm in client.stream("one two", Style())])
    finally:
        await client.close()


async def test_the_right_token_is_spoken_for():
    async with listening() as (port, *_):
        assert np.array_equal(await spoken(port, TOKEN), counted(2))


@pytest.mark.parametrize("token", ["another token of some length", "a token of some lengt", ""])
async def test_a_wrong_token_is_told_so_and_hears_nothing(token):
    async with listening() as (port, _, engine):
        with pytest.raises(SpeechError, match="refuses the token"):
            await spoken(port, token)
        assert not engine.styles


@pytest.mark.parametrize("first", [OPEN, encode(Kind.TOKEN, 0, b"no"), b"GET / HTTP/1.1\r\n\r\n", bytes(2_000)])
async def test_nothing_is_told_or_done_before_the_token(first):
    async with listening() as (port, server, engine):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        data = b""
        with suppress(ConnectionError):
            data = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert not data or json.loads(data[9:])["message"].startswith("it refuses")
        assert (len(server), engine.styles) == (0, [])
        writer.close()


async def test_strangers_are_given_up_and_do_not_keep_others_out():
    async with listening() as (port, *_):
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * MAX_STRANGERS)]
        assert np.array_equal(await spoken(port, TOKEN), counted(2)), "one that shows the token is served at once"
        for reader, _ in strangers[:MAX_STRANGERS]:
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b"", "the oldest made room"
        with LoopClock() as clock:
            clock.advance(2 * TOKEN_S)
            for reader, writer in strangers:
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b"", "none waits for long"
                writer.close()


async def test_a_link_is_encrypted_and_the_certificate_checked(certificate):
    async with listening(tls=server_context(*certificate)) as (port, *_):
        made = await spoken(port, TOKEN, "localhost", tls=True, ca=certificate[0])
        assert np.array_equal(made, counted(2))
        with pytest.raises(SpeechError, match=r"(?i)certificate"):
            await spoken(port, TOKEN, "localhost", tls=True)
        with pytest.raises(SpeechError, match=r"(?i)certificate"):
            await spoken(port, TOKEN, "127.0.0.1", tls=True, ca=certificate[0])


async def test_who_does_not_encrypt_is_given_up(certificate):
    async with listening(tls=server_context(*certificate)) as (port, server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Kind.TOKEN, 0, TOKEN.encode()))
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        assert len(server) == 0


@pytest.mark.parametrize("wrong", ["", "no certificate"])
def test_a_file_that_is_no_certificate_is_named(tmp_path, wrong):
    path = tmp_path / "cert.pem"
    path.write_text(wrong)
    with pytest.raises(SpeechError, match=r"^ENGINE_TLS_CERT='.*cert.pem': "):
        server_context(path, None)
    with pytest.raises(SpeechError, match=r"^ENGINE_TLS_CA='.*cert.pem': "):
        client_context(path)


async def test_a_door_that_is_closed_ends_what_is_spoken():
    engine = CountingEngine(piece_s=0.05)
    server = LinkServer(engine)
    door = LinkDoor(server, TOKEN)
    port, link = await door.start("127.0.0.1", 0), Link(TOKEN)
    await asyncio.get_running_loop().create_connection(lambda: link.connection, "127.0.0.1", port)
    await link.greeted(PATIENCE_S)
    stream = link.stream("one two three", Style())
    await anext(stream)
    await door.close()
    with pytest.raises(LinkLost):
        async for _ in stream:
            pass

    await until(lambda: not engine.streams and not len(server))
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", port)
    await server.close()
