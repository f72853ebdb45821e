"""What a service sends is read a little at a time, however much has come, and none of it is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType
from aiohttp.client_proto import ResponseHandler

from benchmarks.attacks.bad_services import serving
from benchmarks.attacks.wire import TEXT, unmasked
from bridge.conversation.service_sessions import SOUND_BYTES, open_session
from engine.web.sliced_reading import SLICE_BYTES

KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSED = b"\x88\x02" + (4000).to_bytes(2, "big")
MESSAGES = 20_000


async def accept(head: bytes, writer: asyncio.StreamWriter, behind: bytes = b"") -> None:
    """Answers a handshake, with something right behind it."""
    key = next(line.split()[1] for line in head.splitlines() if line.lower().startswith(b"sec-websocket-key:"))
    digest = base64.b64encode(hashlib.sha1(key + KEY, usedforsecurity=False).digest())
    headers = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(headers + b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n" + behind)
    await writer.drain()


@asynccontextmanager
async def a_service(*sent: bytes) -> AsyncIterator[str]:
    """Sends everything as soon as it is connected to, the first piece together with its answer's headers."""

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(head, writer, b"".join(sent))
        await reader.read()

    async with serving(answer) as port:
        yield f"ws://127.0.0.1:{port}"


async def test_all_of_many_small_messages_come_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    receive = ResponseHandler.data_received

    def note(handler: ResponseHandler, data: bytes) -> None:
        if handler._payload_parser is not None:
            sizes.append(len(data))
        receive(handler, data)

    monkeypatch.setattr(ResponseHandler, "data_received", note)
    texts = [str(number) for number in range(MESSAGES)]
    sent = b"".join(unmasked(TEXT, text.encode()) for text in texts) + CLOSED
    async with a_service(sent) as url, open_session(SOUND_BYTES) as http, http.ws_connect(url) as socket:
        assert [message.data async for message in socket] == texts
        assert socket.close_code == 4000
    assert max(sizes) <= SLICE_BYTES


async def test_a_service_that_sends_on_is_left_all_the_same() -> None:
    async def send_on(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(head, writer)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(unmasked(TEXT, b"more") * 1_000)
                await writer.drain()

    async with serving(send_on) as port, open_session(SOUND_BYTES) as http:
        socket = await http.ws_connect(f"ws://127.0.0.1:{port}")
        assert (await socket.receive()).data == "more"
        async with asyncio.timeout(20):
            await socket.close()
        assert socket.closed


async def test_a_long_message_comes_whole() -> None:
    long = unmasked(TEXT, b"a" * 200_000) + CLOSED
    async with a_service(long) as url, open_session(SOUND_BYTES) as http, http.ws_connect(url) as socket:
        message = await socket.receive(10)
        assert (message.type, len(message.data)) == (WSMsgType.TEXT, 200_000)
