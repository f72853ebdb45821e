"""The real `openai` client against the server."""

from __future__ import annotations

import base64
import io
import json

import aiohttp
import numpy as np
import openai
import pytest
import soundfile

from engine.audio import resample
from engine.encode import FORMATS
from engine.speech import Style
from tests.support.decoders import decode, likeness
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, sound_of

TEXT = "The client asks for this sentence."
SOUND = sound_of(TEXT, Style(voice="low"))


@pytest.fixture
async def server(engine, tmp_path):
    async with speech_server(engine, tmp_path, api_key="secret", audio_cache_max=0) as running:
        yield running


@pytest.fixture
async def client(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0) as connected:
        yield connected


@pytest.mark.parametrize("name", FORMATS)
async def test_create_in_every_format(client, name):
    response = await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=name)
    rate_hz = FORMATS[name].rate_hz(RATE_HZ)
    heard, heard_hz = decode(name, response.content, rate_hz)
    assert heard_hz == rate_hz
    assert likeness(heard, resample(SOUND, RATE_HZ, rate_hz)) > 0.9


async def test_streaming_gives_audio_before_it_is_all_made(client, engine):
    engine.hold(chunks=2)
    request = client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=TEXT, response_format="pcm"
    )
    async with request as response:
        pieces = response.iter_bytes()
        first = await anext(pieces)
        assert engine.open_streams == 1
        engine.release()
        audio = first + b"".join([piece async for piece in pieces])
    assert np.array_equal(np.frombuffer(audio, "<i2"), SOUND)


@pytest.mark.parametrize("pause", ["[pause:1.5s]", '<break time="1500ms"/>'])
async def test_a_pause_in_the_text_is_heard(client, pause):
    text = f"<speak>{TEXT} {pause} {TEXT}</speak>"
    response = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
    heard = np.frombuffer(response.content, "<i2")
    assert np.array_equal(heard, np.concatenate((SOUND, np.zeros(RATE_HZ * 3 // 2, np.int16), SOUND)))


async def test_streaming_into_a_file(client, tmp_path):
    request = client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="nova", input=TEXT, response_format="flac", instructions="whisper", speed=1.5
    )
    async with request as response:
        await response.stream_to_file(tmp_path / "speech.flac")
    heard, _ = decode("flac", (tmp_path / "speech.flac").read_bytes(), 0)
    assert np.array_equal(heard, sound_of(TEXT, Style(voice="high", instructions="whisper", speed=1.5)))


@pytest.mark.parametrize("name", ["mp3", "wav", "pcm"])
async def test_events(client, name):
    request = client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=TEXT, response_format=name, stream_format="sse"
    )
    async with request as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        events = [json.loads(line.removeprefix("data: ")) async for line in response.iter_lines() if line]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert done["type"] == "speech.audio.done"
    assert set(done["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    heard, _ = decode(name, b"".join(base64.b64decode(event["audio"]) for event in deltas), RATE_HZ)
    assert likeness(heard, SOUND) > 0.9


async def test_a_voice_as_an_object(client, engine):
    await client.audio.speech.create(model="tts-1", voice={"id": "high"}, input=TEXT)
    assert engine.spoken[0][1].voice == "high"


async def test_fields_that_openai_does_not_have(client, engine):
    response = await client.audio.speech.create(
        model="tts-1",
        voice="alloy",
        input=TEXT,
        response_format="pcm",
        extra_body={"sample_rate": 8_000, "seed": 7, "language": "en", "temperature": 0.5, "top_p": 0.9},
    )
    style = Style(voice="low", seed=7, language="en", temperature=0.5, top_p=0.9)
    assert np.array_equal(np.frombuffer(response.content, "<i2"), resample(sound_of(TEXT, style), RATE_HZ, 8_000))


async def test_a_voice_is_stored_and_spoken_in(client, engine):
    file, sound = io.BytesIO(), np.tile(SOUND, 3)
    soundfile.write(file, sound, RATE_HZ, format="WAV")
    voice = await client.audio.voices.create(
        name="Anna Bell", audio_sample=("anna.wav", file.getvalue(), "audio/wav"), consent="cons_1"
    )
    assert (voice.id, voice.name, voice.object, voice.type) == ("anna-bell", "Anna Bell", "audio.voice", "audio_sample")
    assert voice.created_at > 1_700_000_000
    await client.audio.speech.create(model="tts-1", voice={"id": voice.id}, input=TEXT, response_format="pcm")
    assert np.array_equal(engine.spoken[-1][1].reference.pcm, sound)
    with pytest.raises(openai.ConflictError):
        await client.audio.voices.create(name="anna bell", audio_sample=file.getvalue(), consent="cons_1")
    deleted = await client.audio.voices.delete(voice.id)
    assert deleted.id == voice.id


async def test_a_new_voice_needs_a_name_and_a_recording(server):
    for fields, param in (({"name": "anna"}, "file"), ({"consent": "x"}, "name"), ({"name": "../x"}, "name")):
        data = aiohttp.FormData(fields, default_to_multipart=True)
        headers = {"Authorization": "Bearer secret"}
        answer = await server.post("/v1/audio/voices", data=data, headers=headers)
        assert (answer.status, answer.json()["error"]["param"]) == (400, param)


async def test_models_are_listed_where_some_look_for_them(server, client):
    answer = await server.get("/v1/audio/models", headers={"Authorization": "Bearer secret"})
    assert [model["id"] for model in answer.json()["data"]] == [model.id async for model in client.models.list()]


async def test_models(client):
    assert "tts-1" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("tone-1")).id == "tone-1"


@pytest.mark.parametrize(
    ("fields", "kind", "code", "param"),
    [
        ({"voice": "nobody"}, openai.BadRequestError, "unknown_voice", "voice"),
        ({"input": ""}, openai.BadRequestError, "empty_input", "input"),
        ({"input": "x" * 70_000}, openai.BadRequestError, "input_too_long", "input"),
        ({"response_format": "wma"}, openai.BadRequestError, "invalid_request", "response_format"),
    ],
)
async def test_errors_are_the_clients_own(client, fields, kind, code, param):
    with pytest.raises(kind) as raised:
        await client.audio.speech.create(**{"model": "tts-1", "voice": "alloy", "input": TEXT, **fields})
    error = raised.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert error.body["message"] in str(error)
    assert error.request_id


async def test_a_wrong_key(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="API key"):
            await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)


async def test_a_full_queue_tells_when_to_come_again(engine, tmp_path):
    """The client tries a 503 again by itself after `Retry-After`; here it is told not to."""
    async with speech_server(engine, tmp_path, max_queue_depth=1, audio_cache_max=0) as server:
        engine.hold(chunks=1)
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            first = client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input=TEXT)
            async with first as response:
                with pytest.raises(openai.InternalServerError) as raised:
                    await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
                assert raised.value.status_code == 503
                assert raised.value.response.headers["Retry-After"]
                engine.release()
                await response.read()
            assert (await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)).content
