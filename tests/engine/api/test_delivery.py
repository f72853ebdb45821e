"""How long a client is waited for."""

from __future__ import annotations

import asyncio
import json
import select
import socket as sockets
import struct
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import web

from engine.api import add_speech_routes
from engine.api.live_speech import PROTOCOL
from engine.api.pace import Pace, SlowReader
from engine.settings import SpeechSettings, VoiceSettings
from tests.support.tone_engine import ToneEngine


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


async def taking(clock, seconds):
    """A write that the client takes `seconds` to read."""
    clock.now_s += seconds


async def test_a_client_may_take_as_long_as_the_audio_plays():
    clock = Clock()
    pace = Pace(1.0, clock)
    for _ in range(1_000):
        await pace.send(taking(clock, 0.5), 0.5)
    assert clock.now_s == 500.0, "all of it was taken"


async def test_a_client_that_falls_behind_by_more_than_the_slack_is_given_up():
    clock = Clock()
    pace = Pace(1.0, clock)
    await pace.send(taking(clock, 0.75), 0.25)
    await pace.send(taking(clock, 0.75), 0.25)  # now all of the slack is used up

    async def never():
        await asyncio.Event().wait()

    with pytest.raises(SlowReader):
        await pace.send(never(), 0.0)


async def test_what_was_read_early_may_be_played_before_the_next_is_taken():
    clock = Clock()
    pace = Pace(1.0, clock)
    await pace.send(taking(clock, 0.0), 60.0)
    await pace.send(taking(clock, 59.0), 0.1)
    assert clock.now_s == 59.0, "all of it was taken"


@asynccontextmanager
async def over_small_buffers(engine, folder):
    """Yields a service and the address of its server, where back-pressure is there after a second or two of audio."""
    app = web.Application()
    settings = SpeechSettings(slow_reader_timeout=0.5, audio_cache_max=0)
    service = add_speech_routes(app, engine, settings, VoiceSettings(voices_dir=folder))
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    listener = sockets.create_server(("127.0.0.1", 0))
    listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4_096)
    await web.SockSite(runner, listener).start()
    try:
        yield service, listener.getsockname()
    finally:
        await runner.cleanup()


def connected(address, receive_bytes=4_096):
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_bytes)
    connection.connect(address)
    connection.setblocking(False)
    return connection


async def test_a_client_that_stops_reading_is_dropped_and_delays_nobody(tmp_path):
    engine = ToneEngine()
    async with over_small_buffers(engine, tmp_path) as (service, address):
        lazy, eager = connected(address), connected(address, 65_536)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(lazy, request("A text that goes on and on, sentence after sentence. " * 20))
        await asyncio.wait_for(loop.sock_recv(lazy, 100), 30)
        await loop.sock_sendall(eager, request("Hello there."))
        received = b""
        while data := await asyncio.wait_for(loop.sock_recv(eager, 65_536), 30):
            received += data
        assert received.startswith(b"HTTP/1.1 200")
        assert received.endswith(b"0\r\n\r\n")
        dropped = select.poll()
        dropped.register(lazy, 0)  # 0: wake for errors and hang-ups only, not for what there is to read
        assert await asyncio.to_thread(dropped.poll, 30_000)
        slow = service.metrics.requests.labels("/v1/audio/speech", "wav", "slow")._value
        async with asyncio.timeout(30):  # the client sees the end before the server has put all away
            while not slow.get():  # noqa: ASYNC110 - a metric has no event to wait on
                await asyncio.sleep(0.01)
        assert slow.get() == 1
        assert (service.synthesizer.depth, engine.open_streams) == (0, 0)
        lazy.close()
        eager.close()


@pytest.mark.parametrize(
    ("protocol", "first", "more"),
    [
        ("talkspurt", {"event": "cancel"}, lambda number: {"input": "x", "voice": "n" * 4_000}),
        (
            PROTOCOL,
            {"type": "request.start"},
            lambda number: {"type": "input_text.append", "sequence": number, "text": " "},
        ),
    ],
)
async def test_a_client_that_asks_on_a_websocket_and_does_not_read_is_dropped(tmp_path, protocol, first, more):
    async with over_small_buffers(ToneEngine(), tmp_path) as (_, address):
        loop, lazy = asyncio.get_running_loop(), connected(address)
        await loop.sock_sendall(lazy, handshake(protocol))
        assert (await asyncio.wait_for(loop.sock_recv(lazy, 12), 30)).startswith(b"HTTP/1.1 101")
        await loop.sock_sendall(lazy, frame(first))
        with pytest.raises(ConnectionError):  # the server resets the connection
            await asyncio.wait_for(asking_on(lazy, more), 30)
        lazy.close()


async def asking_on(connection, more):
    for number in count():
        await asyncio.get_running_loop().sock_sendall(connection, frame(more(number)))


def handshake(protocol):
    return (
        "GET /v1/audio/speech/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    ).encode()


def frame(message):
    """A message of a WebSocket's client, masked with zeros."""
    text = json.dumps(message).encode()
    return b"\x81" + struct.pack("!BHI", 0x80 | 126, len(text), 0) + text


def request(text):
    body = json.dumps({"input": text, "sample_rate": 48_000, "stream": True}).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
