"""The requests that Open WebUI's source sends, and what it reads out of the answers."""

from __future__ import annotations

import pytest

from tests.support.decoders import decode
from tests.support.speech_server import speech_server


@pytest.fixture
async def server(engine, tmp_path):
    async with speech_server(engine, tmp_path) as running:
        yield running


async def test_reads_an_answer_out_as_mp3(server):
    answer = await server.post(
        "/v1/audio/speech",
        {"model": "tts-1", "input": "The answer of a model.", "voice": "alloy"},
        headers={"Authorization": "Bearer none", "X-OpenWebUI-User-Name": "anna"},
    )
    assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/mpeg")
    heard, rate_hz = decode("mp3", answer.body, 24_000)
    assert len(heard) / rate_hz == pytest.approx(22 * 0.02, abs=0.1)


async def test_offers_the_voices(server):
    voices = (await server.get("/v1/audio/voices")).json().get("voices", [])
    assert {voice["id"]: voice["name"] for voice in voices}.keys() == {"low", "high"}


async def test_offers_the_models(server):
    models = (await server.get("/v1/audio/models")).json().get("models", [])
    assert "tts-1" in [model["id"] for model in models]


async def test_says_why_nothing_is_said(server):
    answer = await server.post("/v1/audio/speech", {"model": "tts-1", "input": "Hello.", "voice": "nobody"})
    assert "nobody" in answer.json()["error"].get("message", "")
