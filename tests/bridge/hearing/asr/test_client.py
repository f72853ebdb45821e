"""The recogniser's client against a WebSocket server on loopback: order, loss, back-off, endings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, web

from bridge.hearing.asr import client as client_module
from bridge.hearing.asr.backlog import WAITING_MS
from bridge.hearing.asr.client import AsrClient
from bridge.hearing.asr.protocol import AsrOptions
from bridge.hearing.asr.qwen3_asr import Qwen3Asr
from bridge.hearing.events import Heard, Partial, SpeechStarted, SpeechStopped, Transcript
from engine.web import inbox
from engine.web.inbox import BURST_S
from tests.support.turns_of_the_loop import TurnsOfTheLoop

RATE_HZ = 16_000
CHUNK = RATE_HZ // 50 * 2
CONFIG = '{"action": "config", "language": "en"}'
FLUSH = '{"action": "flush"}'


class Service:
    """A recogniser that tells the test what it gets."""

    def __init__(self) -> None:
        self.sockets: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.closed: asyncio.Queue[int | None] = asyncio.Queue()
        self.url = ""
        self.calls: list[str | None] = []
        """Which call each connection says that it is for."""

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        self.calls.append(request.headers.get("X-Call-Id"))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.put_nowait(socket)
        async for message in socket:
            self.messages.put_nowait(message.data)
        self.closed.put_nowait(socket.close_code)
        return socket


@asynccontextmanager
async def serving(service: Service, port: int = 0) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/ws/transcribe", service.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    port = runner.addresses[0][1]
    service.url = f"ws://127.0.0.1:{port}"
    try:
        yield port
    finally:
        await runner.cleanup()


@asynccontextmanager
async def listening(url: str, on_heard: Callable[[Heard], None] = lambda heard: None) -> AsyncIterator[AsrClient]:
    async with aiohttp.ClientSession() as http:
        client = AsrClient(Qwen3Asr, url, AsrOptions(language="en"), http, on_heard, call_id="1b4e")
        task = asyncio.create_task(client.run())
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BACKOFF_S", (0.01,))


async def test_each_connection_names_its_call() -> None:
    service = Service()
    async with serving(service), listening(service.url):
        await (await service.sockets.get()).close()
        await service.sockets.get()
    assert service.calls == ["1b4e", "1b4e"]


async def test_audio_goes_out_in_order_and_events_come_in() -> None:
    service = Service()
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    async with serving(service), listening(service.url, heard.put_nowait) as client:
        assert await service.messages.get() == CONFIG
        for value in range(5):
            client.push(bytes([value]) * CHUNK, RATE_HZ)
            assert await service.messages.get() == bytes([value]) * CHUNK
        assert client.down_since_s is None
        socket = await service.sockets.get()
        await socket.send_str("not json")
        await socket.send_json({"text": "two", "is_partial": True})
        await socket.send_json({"text": "two", "is_partial": True})
        await socket.send_json({"text": "Two.", "is_final": True})
        assert await heard.get() == Partial("two")
        assert await heard.get() == Transcript("Two.")
        client.flush()
        assert await service.messages.get() == FLUSH


async def test_audio_at_the_callers_rate_is_resampled() -> None:
    service = Service()
    async with serving(service), listening(service.url) as client:
        await service.messages.get()
        for _ in range(10):
            client.push(bytes(320), 8000)
        received = [await service.messages.get() for _ in range(9)]  # the last few samples are held back
        assert all(len(chunk) == CHUNK for chunk in received)


async def test_a_service_that_dies_hears_what_it_had_not_answered_again() -> None:
    service = Service()
    async with serving(service), listening(service.url) as client:
        await service.messages.get()
        socket = await service.sockets.get()
        for value in range(4):
            client.push(bytes([value]) * CHUNK, RATE_HZ)
            await service.messages.get()
        client.flush()
        assert await service.messages.get() == FLUSH
        await socket.send_json({"text": "Hello.", "is_final": True})
        for value in range(4, 8):
            client.push(bytes([value]) * CHUNK, RATE_HZ)
            await service.messages.get()
        client.flush()
        assert await service.messages.get() == FLUSH
        await socket.close()
        await service.closed.get()
        assert await service.messages.get() == CONFIG
        assert client._protocol is not None
        assert client._protocol.offset_ms == 80, "events keep their place in the call"
        again = [await service.messages.get() for _ in range(4)]
        assert again == [bytes([value]) * CHUNK for value in range(4, 8)]
        assert await service.messages.get() == FLUSH, "the caller had stopped, and the answer was still to come"
        assert client.backlog.dropped_ms == 0


async def test_a_service_that_takes_connections_and_drops_them_counts_as_down() -> None:
    seen: list[float | None] = []

    class Drops(Service):
        async def handle(self, request: web.Request) -> web.WebSocketResponse:
            seen.append(client.down_since_s)
            return await super().handle(request)

    service = Drops()
    async with serving(service), listening(service.url) as client:
        down_since_s = client.down_since_s
        for _ in range(3):
            await (await service.sockets.get()).close()
            await service.closed.get()
        await service.sockets.get()
        assert seen == [down_since_s] * 4


async def test_only_signs_of_recognition_count_as_life() -> None:
    service = Service()
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    async with serving(service), listening(service.url, heard.put_nowait) as client:
        began_s = client.heard_s
        socket = await service.sockets.get()
        for message in ({"status": "connected"}, {"error": "no model"}, {"what": "ever"}):
            await socket.send_json(message)
        await socket.send_bytes(b"\xff\x00\x13")
        assert client.heard_s == began_s
        await socket.send_json({"text": "two", "is_partial": True})
        assert await heard.get() == Partial("two")
        assert client.heard_s > began_s


@pytest.mark.parametrize("message", ["rubbish", '{"error": "no model"}'])
async def test_nothing_else_for_ever_ends_the_connection(message: str) -> None:
    service = Service()
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    async with serving(service), listening(service.url, heard.put_nowait):
        socket = await service.sockets.get()
        for _ in range(client_module.BAD_MESSAGES):
            await socket.send_str(message)
        await service.closed.get()
        await (await service.sockets.get()).send_json({"text": "two", "is_partial": True})
        assert await heard.get() == Partial("two"), "it is heard over the next one"


async def test_a_huge_message_ends_the_connection() -> None:
    service = Service()
    async with serving(service), listening(service.url):
        socket = await service.sockets.get()
        await socket.send_str("x" * (client_module.MAX_MESSAGE_BYTES + 1))
        assert await service.closed.get() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await service.sockets.get()


@pytest.mark.parametrize("kind", [WSMsgType.PING, WSMsgType.TEXT])
async def test_a_service_that_does_not_stop_talking_is_given_up_and_others_get_their_turns(
    monkeypatch: pytest.MonkeyPatch, kind: WSMsgType
) -> None:
    monkeypatch.setattr(inbox, "FLOOD_S", 0.1)
    service = Service()
    async with serving(service), listening(service.url):
        socket = await asyncio.wait_for(service.sockets.get(), 30)
        with TurnsOfTheLoop() as turns:
            with contextlib.suppress(ConnectionError):
                for _ in range(2_000):
                    await socket.send_frame(b'{"text": "so", "is_partial": true}', kind)
            assert await asyncio.wait_for(service.closed.get(), 30) == WSCloseCode.POLICY_VIOLATION
    assert turns.count >= BURST_S * client_module.MESSAGES_PER_S, "one for each message"


async def test_speech_under_way_ends_with_its_connection() -> None:
    service = Service()
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    async with serving(service), listening(service.url, heard.put_nowait) as client:
        socket = await service.sockets.get()
        client._hear(SpeechStarted(0))
        assert await heard.get() == SpeechStarted(0)
        await socket.close()
        assert await heard.get() == SpeechStopped()


async def test_another_language_is_asked_for_over_a_new_connection_which_hears_what_was_not_answered() -> None:
    service = Service()
    async with serving(service), listening(service.url) as client:
        assert await service.messages.get() == CONFIG
        client.push(bytes([7]) * CHUNK, RATE_HZ)
        assert await service.messages.get() == bytes([7]) * CHUNK
        client.listen_in("en")
        client.listen_in("de")
        assert await service.messages.get() == CONFIG.replace("en", "de")
        assert await service.messages.get() == bytes([7]) * CHUNK
        assert len(service.calls) == 2, "the same language again changes nothing"


async def test_the_oldest_audio_is_dropped_while_the_service_is_away() -> None:
    service = Service()
    async with serving(service) as port:
        pass  # learn a port where nobody listens
    async with listening(service.url) as client:
        for value in range(WAITING_MS // 20 + 10):
            client.push(bytes([value % 250]) * CHUNK, RATE_HZ)
        assert client.backlog.dropped_ms == 200
        assert client.down_since_s is not None
        async with serving(service, port):
            await service.messages.get()
            assert await service.messages.get() == bytes([10]) * CHUNK
            assert client._protocol is not None
            assert client._protocol.offset_ms == 200
            assert client.down_since_s is None


async def test_cancelling_closes_the_connection() -> None:
    service = Service()
    async with serving(service):
        async with listening(service.url):
            await service.messages.get()
        assert await service.messages.get() == FLUSH
        assert await service.closed.get() == aiohttp.WSCloseCode.OK
