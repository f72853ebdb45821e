"""The remote engine against a local speech server."""

import asyncio
import json

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engine.remote import RemoteEngine
from engine.speech import EngineBusy, SpeechError, Style, UnknownVoice

PCM = np.arange(-12_000, 12_000, dtype=np.int16)


class SpeechServer:
    """Answers as OpenAI's endpoint does; `status` and `gate` are the test's."""

    def __init__(self):
        self.status, self.text = 200, ""
        self.endless = False
        self.bodies, self.gate, self.gone = [], asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def speech(self, request):
        self.bodies.append((await request.json(), request.headers.get("Authorization")))
        if self.endless:
            return await self.pour(request, self.status)
        if self.status != 200:
            return web.Response(status=self.status, text=self.text)
        response = web.StreamResponse()
        await response.prepare(request)
        data = PCM.astype("<i2").tobytes()
        try:
            for start in range(0, len(data), 4801):  # odd: a sample is split over two pieces
                await response.write(data[start : start + 4801])
                await self.gate.wait()
        except (ConnectionError, asyncio.CancelledError):
            self.gone.set()
            raise
        return response

    async def pour(self, request, status):
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b"because " * 8_192)

    async def voices(self, request):
        if self.endless:
            return await self.pour(request, 200)
        return web.json_response({"voices": [{"id": "Amber", "name": "Amber"}, {"id": "blue"}]})


@pytest.fixture
async def server():
    speech = SpeechServer()
    app = web.Application()
    app.add_routes([web.post("/v1/audio/speech", speech.speech), web.get("/v1/audio/voices", speech.voices)])
    async with TestServer(app) as test_server:
        speech.url = str(test_server.make_url("/v1"))
        yield speech


@pytest.fixture
async def engine(server):
    engine = RemoteEngine(server.url, "tts-1", "secret")
    await engine.start()
    yield engine
    await engine.close()


async def hear(engine, style):
    return np.concatenate([pcm async for pcm in engine.stream("Hello.", style)])


async def test_every_sample_arrives(engine, server):
    assert np.array_equal(await hear(engine, Style(voice="amber", speed=1.5)), PCM)
    body, authorization = server.bodies[0]
    assert body == {
        "model": "tts-1", "input": "Hello.", "voice": "Amber", "response_format": "pcm", "speed": 1.5,
    }  # fmt: skip
    assert authorization == "Bearer secret"


async def test_lists_the_servers_voices(engine):
    assert [voice.id for voice in engine.voices()] == ["Amber", "blue"]
    assert engine.resolve_voice("") == "Amber"


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (503, "", EngineBusy),
        (429, "", EngineBusy),
        (400, "unknown voice 'x'", UnknownVoice),
        (500, "out of memory", SpeechError),
    ],
)
async def test_a_refusal_says_what_it_was(engine, server, status, text, error):
    server.status, server.text = status, text
    with pytest.raises(error):
        await hear(engine, Style())
    assert engine.status().queue_depth == 0


@pytest.mark.parametrize("ascii_only", [True, False])
async def test_a_refusal_that_quotes_the_sentence_is_told_without_it(engine, server, ascii_only):
    """What an engine refuses is logged, and the sentence may be the caller's own words."""
    sentence = 'Herr Müller sagt: "xyzzyplugh".'
    detail = [{"msg": "too short", "input": {"voice": "Amber", "input": sentence}}]
    server.status, server.text = 422, json.dumps({"detail": detail}, ensure_ascii=ascii_only)
    with pytest.raises(SpeechError, match=r"answered 422: .*too short") as refused:
        await anext(engine.stream(sentence, Style()))
    assert "ller" not in str(refused.value)
    assert "xyzzy" not in str(refused.value)


async def test_an_unknown_voice_is_told_with_those_that_the_server_lists(engine, server):
    server.status, server.text = 400, "unknown voice 'x'"
    with pytest.raises(UnknownVoice, match="unknown voice 'x'; known are Amber, blue") as refused:
        await hear(engine, Style(voice="x"))
    assert refused.value.known == ("Amber", "blue")


async def test_closing_the_stream_ends_the_servers_work(engine, server):
    server.gate.clear()
    stream = engine.stream("Hello.", Style())
    await anext(stream)
    await stream.aclose()
    await asyncio.wait_for(server.gone.wait(), 30)
    assert engine.status().queue_depth == 0


async def test_a_server_that_is_not_there_is_one_clear_line():
    engine = RemoteEngine("http://127.0.0.1:9/v1", "tts-1")
    with pytest.raises(SpeechError, match=r"REMOTE_URL='http://127.0.0.1:9/v1' does not answer"):
        await engine.start()


async def test_an_answer_without_an_end_is_not_read_to_its_end(engine, server):
    server.endless, server.status = True, 500
    async with asyncio.timeout(30):
        with pytest.raises(SpeechError, match="because") as raised:
            await hear(engine, Style())
        another = RemoteEngine(server.url, "tts-1", "secret")
        await another.start()
    assert len(str(raised.value)) < 500
    assert [voice.id for voice in another.voices()] == ["alloy"]
    await another.close()
