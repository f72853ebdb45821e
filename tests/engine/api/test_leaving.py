"""Clients that go away, at every stage: their synthesis ends at once and the next is served as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import struct
from contextlib import asynccontextmanager

import pytest

from tests.support.speech_server import speech_server
from tests.support.tone_engine import CHUNK_SAMPLES

TEXT = "The first sentence of this text. And then there is another one. The third is the last of them."
FIRST_CHUNKS = -(-len("The first sentence of this text.") * 480 // CHUNK_SAMPLES)
TIMES = 20
"""At each of the stages below, of which there are more than five: over a hundred departures."""


@pytest.fixture
async def server(engine, tmp_path):
    async with speech_server(engine, tmp_path, audio_cache_max=0) as running:
        yield running


class Client:
    """A bare connection, to be left in whatever way."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, server):
        host, port = server.url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def post(self, path, body):
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)

    async def leave(self, reset):
        if reset:
            connection = self.writer.get_extra_info("socket")
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def nothing_left_behind(server, engine):
    """After the block the engine makes nothing more, and no task is left that was not there before."""
    tasks = set(asyncio.all_tasks())
    yield
    await asyncio.wait_for(engine.idle.wait(), 30)
    late = asyncio.all_tasks() - tasks
    if late:
        await asyncio.wait(late, timeout=30)
    assert asyncio.all_tasks() - tasks == set()
    assert server.service.synthesizer.depth == 0


async def is_served(server, engine):
    engine.release()
    answer = await server.speech("Hello there.")
    return answer.status == 200


STAGES = {
    "before any audio": 0,
    "with the first of the audio out": 1,
    "inside the first sentence": FIRST_CHUNKS - 1,
    "inside the first sentence's last word, the second being made": FIRST_CHUNKS + 2,
    "with two sentences made and the third begun": 2 * FIRST_CHUNKS + 3,
}


@pytest.mark.parametrize("chunks", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/audio/speech", {"stream": False}),
        ("/v1/audio/speech", {"stream": True}),
        ("/v1/audio/speech", {"response_format": "mp3", "stream_format": "sse"}),
        ("/v1/audio/speech/stream", {}),
        ("/v1/audio/speech/stream/pcm", {"sample_rate": 8_000}),
    ],
)
async def test_a_client_that_leaves_ends_its_synthesis(server, engine, path, fields, chunks):
    for attempt in range(TIMES):
        async with nothing_left_behind(server, engine):
            engine.hold(chunks)
            client = await Client.connect(server)
            client.post(path, {"input": TEXT, **fields})
            await engine.waiting.wait()
            if chunks and fields.get("stream", True):
                assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")
            assert engine.open_streams == 1
            await client.leave(reset=attempt % 2 == 0)
    assert await is_served(server, engine)


@pytest.mark.parametrize("chunks", [0, 1, 2, 5])
async def test_a_batch_that_is_left_ends_all_that_is_made_for_it(server, engine, chunks):
    for attempt in range(TIMES):
        async with nothing_left_behind(server, engine):
            engine.hold(chunks)
            client = await Client.connect(server)
            client.post("/v1/audio/speech/batch", {"items": [{"input": f"Number {number}."} for number in range(8)]})
            await engine.waiting.wait()
            await client.leave(reset=attempt % 2 == 0)
        assert server.service.synthesizer.held_bytes == 0
    assert await is_served(server, engine)


@pytest.mark.parametrize("chunks", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_socket_that_is_left_ends_its_synthesis(server, engine, chunks, in_pieces):
    for attempt in range(TIMES):
        async with nothing_left_behind(server, engine):
            engine.hold(chunks)
            socket = await server.session.ws_connect(server.url + "/v1/audio/speech/ws")
            await socket.send_json({"input_delta" if in_pieces else "input": TEXT})
            await socket.send_json({"input": "And one that waits."})
            await engine.waiting.wait()
            if attempt % 2:
                await socket.close()
            else:
                socket._response.connection.transport.abort()
                await socket.close()
    assert await is_served(server, engine)


async def test_a_socket_left_while_its_text_is_being_written(server, engine):
    for _ in range(TIMES):
        async with nothing_left_behind(server, engine):
            engine.hold(chunks=1_000)
            socket = await server.session.ws_connect(server.url + "/v1/audio/speech/ws")
            await socket.send_json({"input_delta": "The first sentence of this text. And th"})
            await socket.receive_bytes(timeout=30)
            await socket.close()
    assert await is_served(server, engine)


async def test_a_hundred_cancels_leave_nothing_behind(server, engine):
    async with (
        nothing_left_behind(server, engine),
        server.session.ws_connect(server.url + "/v1/audio/speech/ws") as socket,
    ):
        running = set(asyncio.all_tasks())
        for attempt in range(100):
            engine.hold(chunks=attempt % 12)
            await socket.send_json({"input": TEXT})
            await engine.waiting.wait()
            await socket.send_json({"event": "cancel"})
            while (message := await socket.receive(timeout=30)).type.name != "TEXT":
                pass
            assert json.loads(message.data)["cancelled"]
            assert engine.open_streams == 0
            assert asyncio.all_tasks() == running
    assert await is_served(server, engine)


@pytest.mark.parametrize(
    "sent", [b"POST /v1/audio/spe", b"Content-Length: 500\r\n\r\n", b'Content-Length: 500\r\n\r\n{"inp']
)
async def test_a_client_that_leaves_while_it_asks(server, engine, sent):
    for attempt in range(TIMES):
        async with nothing_left_behind(server, engine):
            client = await Client.connect(server)
            head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            client.writer.write(sent if sent.startswith(b"POST") else head + sent)
            await client.writer.drain()
            await client.leave(reset=attempt % 2 == 0)
    engine.hold()
    assert await is_served(server, engine)
    assert len(engine.spoken) == 1


async def test_a_client_that_leaves_while_it_uploads(server, engine):
    for attempt in range(TIMES):
        async with nothing_left_behind(server, engine):
            client = await Client.connect(server)
            client.writer.write(
                b"POST /v1/audio/speech/clone HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
            )
            await client.writer.drain()
            await client.leave(reset=attempt % 2 == 0)
    engine.hold()
    assert await is_served(server, engine)


async def test_others_go_on_while_clients_come_and_go(server, engine):
    """Thirty leave after their first audio; ten that stay get all of theirs."""

    async def leave():
        client = await Client.connect(server)
        client.post("/v1/audio/speech", {"input": TEXT, "stream": True})
        await client.reader.readline()
        await client.leave(reset=True)

    async with nothing_left_behind(server, engine):
        stay = [server.post("/v1/audio/speech", {"input": TEXT}, headers={"Connection": "close"}) for _ in range(10)]
        answers = await asyncio.gather(*stay, *(leave() for _ in range(30)))
    sizes = {len(answer.body) for answer in answers[:10]}
    assert len(sizes) == 1
    assert all(answer.status == 200 for answer in answers[:10])
