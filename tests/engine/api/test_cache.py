"""What is kept of finished speech, and when."""

from __future__ import annotations

import asyncio
import io
import wave
from dataclasses import replace

import numpy as np
import pytest

from engine.encode import FORMATS
from tests.support.decoders import decode
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ

TEXT = "The first sentence of this text. And then there is another one."


@pytest.mark.parametrize("name", FORMATS)
async def test_the_same_request_is_made_once(server, engine, name):
    made = await server.speech(TEXT, response_format=name)
    spoken = len(engine.spoken)
    kept = await server.speech(TEXT, response_format=name)
    assert len(engine.spoken) == spoken
    assert (made.headers["X-Cache"], kept.headers["X-Cache"]) == ("miss", "hit")
    rate_hz = int(made.headers["X-Sample-Rate"])
    assert np.array_equal(decode(name, made.body, rate_hz)[0], decode(name, kept.body, rate_hz)[0])
    assert int(kept.headers["Content-Length"]) == len(kept.body)


async def test_a_kept_wav_says_how_long_it_is(server):
    await server.speech(TEXT)
    with wave.open(io.BytesIO((await server.speech(TEXT)).body)) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE_HZ, 1)
        assert 0 < file.getnframes() * 2 == len(file.readframes(file.getnframes()))


async def test_endpoints_share_what_is_the_same(server, engine):
    await server.post("/v1/audio/speech/stream/pcm", {"input": TEXT})
    spoken = len(engine.spoken)
    events = await server.post("/v1/audio/speech/stream", {"input": TEXT})
    plain = await server.speech(TEXT, response_format="pcm")
    assert len(engine.spoken) == spoken
    assert (events.headers["X-Cache"], plain.headers["X-Cache"]) == ("hit", "hit")
    assert events.events()[-1] == "[DONE]"


@pytest.mark.parametrize(
    "fields",
    [
        {"input": TEXT + " More."},
        {"voice": "high"},
        {"speed": 1.5},
        {"instructions": "whisper"},
        {"language": "de"},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"seed": 1},
        {"sample_rate": 16_000},
        {"response_format": "pcm"},
    ],
)
async def test_another_request_is_made_anew(server, fields):
    await server.post("/v1/audio/speech", {"input": TEXT})
    assert (await server.post("/v1/audio/speech", {"input": TEXT, **fields})).headers["X-Cache"] == "miss"


async def test_an_alias_is_the_voice_that_it_means(server):
    await server.speech(TEXT, voice="alloy")
    assert (await server.speech(TEXT, voice="ASH")).headers["X-Cache"] == "hit"


@pytest.mark.parametrize(
    ("fields", "settings", "second"),
    [
        ({}, {}, "miss"),
        ({"seed": 1}, {}, "hit"),
        ({"temperature": 0}, {}, "hit"),
        ({"temperature": 0.9}, {}, "miss"),
        ({}, {"audio_cache_sampled": True}, "hit"),
        ({"seed": 1}, {"audio_cache_max": 0}, "miss"),
        ({"seed": 1}, {"audio_cache_max_bytes": 1_000}, "miss"),
    ],
)
async def test_sampled_speech_is_kept_only_where_it_can_be_repeated(engine, tmp_path, fields, settings, second):
    engine.is_deterministic = False
    async with speech_server(engine, tmp_path, **settings) as server:
        assert (await server.speech(TEXT, **fields)).headers["X-Cache"] == "miss"
        assert (await server.speech(TEXT, **fields)).headers["X-Cache"] == second


async def test_what_was_not_finished_is_not_kept(server, engine):
    engine.hold(chunks=2)
    async with server.session.post(server.url + "/v1/audio/speech", json={"input": TEXT, "stream": True}) as response:
        await response.content.readany()
        await engine.waiting.wait()
    engine.release()
    await asyncio.wait_for(engine.idle.wait(), 30)
    assert (await server.speech(TEXT)).headers["X-Cache"] == "miss"
    assert (await server.speech(TEXT)).headers["X-Cache"] == "hit"


async def test_what_a_spare_engine_helped_out_with_is_not_kept(server, engine, monkeypatch):
    statuses = [replace(engine.status(), sentences_by_spare=0)]
    monkeypatch.setattr(engine, "status", lambda: statuses[-1])
    engine.hold(chunks=1)
    async with server.session.post(server.url + "/v1/audio/speech", json={"input": TEXT, "stream": True}) as response:
        await engine.waiting.wait()
        statuses.append(replace(statuses[0], sentences_by_spare=1))
        engine.release()
        await response.read()
    assert (await server.speech(TEXT)).headers["X-Cache"] == "miss"
    assert (await server.speech(TEXT)).headers["X-Cache"] == "hit"


async def test_clearing_tells_what_was_there(server):
    await server.speech(TEXT)
    await server.speech(TEXT)
    health = (await server.get("/health")).json()
    assert (health["audio_cache_size"], health["audio_cache_hits"]) == (1, 1)
    assert health["audio_cache_bytes"] > 1_000
    assert (await server.post("/cache/clear")).json() == {"audio_cleared": 1, "voice_cleared": 0}
    assert (await server.get("/health")).json()["audio_cache_size"] == 0
    assert (await server.speech(TEXT)).headers["X-Cache"] == "miss"
