"""Every endpoint on the embedded voice: what comes out is understood."""

from __future__ import annotations

import asyncio
import base64
import json

import aiohttp
import numpy as np
import pytest

from engine.api.service import OPENAI_VOICES, QWEN_VOICES
from engine.hibari import HibariEngine
from tests.support.decoders import decode
from tests.support.recognition import recognise, word_error_rate, word_times
from tests.support.speech_server import speech_server

TEXT = "The train to London leaves from platform seven. Please have your tickets ready."
TELEPHONE_HZ = 8_000


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """One engine and one server for all the tests here, on a loop of their own."""
    with asyncio.Runner() as runner:
        engine = HibariEngine()
        runner.run(engine.start())
        context = speech_server(engine, tmp_path_factory.mktemp("voices"))
        server = runner.run(context.__aenter__())
        yield runner, server
        runner.run(context.__aexit__(None, None, None))
        runner.run(engine.close())


async def over_socket(server, body):
    async with server.session.ws_connect(server.url + "/v1/audio/speech/ws") as socket:
        await socket.send_json(body)
        audio = []
        async for message in socket:
            if isinstance(message.data, str):
                assert json.loads(message.data)["event"] == "done"
                return b"".join(audio)
            audio.append(message.data)
    raise AssertionError("the connection was closed")


def test_every_endpoint_is_understood(embedded):
    runner, server = embedded

    async def listen():
        mp3 = await server.speech(TEXT, response_format="mp3")
        yield decode("mp3", mp3.body, 0)
        line = await server.speech(TEXT, response_format="mulaw")
        yield decode("mulaw", line.body, TELEPHONE_HZ)
        events = (await server.post("/v1/audio/speech/stream", {"input": TEXT, "sample_rate": 16_000})).events()
        yield decode("pcm", b"".join(map(base64.b64decode, events[1:-1])), 16_000)
        pcm = await server.post("/v1/audio/speech/stream/pcm", {"input": TEXT, "sample_rate": TELEPHONE_HZ})
        yield decode("pcm", pcm.body, TELEPHONE_HZ)
        yield decode("pcm", await over_socket(server, {"input": TEXT, "sample_rate": TELEPHONE_HZ}), TELEPHONE_HZ)

    async def transcripts():
        return [await recognise(np.asarray(pcm), rate_hz) async for pcm, rate_hz in listen()]

    heard = runner.run(transcripts())
    assert len(heard) == 5
    assert word_error_rate([TEXT] * 5, heard) <= 0.03, heard


@pytest.mark.parametrize(("voice", "speed"), [("heart", 1.0), ("onyx", 1.25)])
def test_words_are_said_when_it_is_told(embedded, voice, speed):
    runner, server = embedded
    text = f"{TEXT.split('. ')[0]}. [pause:1s] {TEXT.split('. ')[1]}"

    async def told_and_heard():
        body = {"voice": voice, "speed": speed, "response_format": "mp3", "sample_rate": 16_000, "timestamps": True}
        answer = (await server.speech(text, **body)).json()
        pcm, rate_hz = decode("mp3", base64.b64decode(answer["audio"]), 0)
        return answer["timestamps"], await word_times(np.asarray(pcm), rate_hz)

    told, heard = runner.run(told_and_heard())
    assert [word["word"] for word in told] == TEXT.split()
    assert all("estimated" not in word for word in told)
    off_s = np.array([word["start_time"] for word in told]) - [begin for _, begin, _ in heard]
    after_pause = TEXT.split().index("Please")  # the recogniser takes the pause for the next word's beginning
    assert np.abs(np.delete(off_s, after_pause)).max() < 0.2
    assert abs(float(np.median(off_s))) < 0.06
    assert told[after_pause]["start_time"] - told[after_pause - 1]["end_time"] > 0.95


@pytest.mark.parametrize("name", [*QWEN_VOICES, *OPENAI_VOICES])
def test_every_name_speaks(embedded, name):
    runner, server = embedded
    answer = runner.run(server.speech("Hello there.", voice=name, response_format="pcm"))
    assert answer.status == 200
    assert np.abs(np.frombuffer(answer.body, "<i2").astype(int)).max() > 3_000


def test_it_cannot_clone_and_says_what_can(embedded):
    runner, server = embedded
    form = aiohttp.FormData({"input": "x"}, default_to_multipart=True)
    form.add_field("file", b"a recording", filename="reference.wav")
    answer = runner.run(server.post("/v1/audio/speech/clone", data=form))
    assert (answer.status, answer.json()["code"]) == (501, "CANNOT_CLONE")


@pytest.mark.parametrize("phrase", ["Ciao!", "Obrigado.", "Danke, bitte.", "Goedemorgen!"])
def test_a_foreign_greeting_is_said_if_need_be_with_an_accent(embedded, phrase):
    """To refuse it would be silence in a call whose greeting it is."""
    runner, server = embedded
    assert runner.run(server.speech(phrase)).status == 200


def test_a_german_text_is_spoken_in_german(embedded):
    """As the same text is that says it is German, and not as English would read it."""
    runner, server = embedded
    text = "Guten Tag, hier ist die Praxis Doktor Schmidt. Wie kann ich Ihnen helfen?"
    told, german, english = (
        len(runner.run(server.speech(text, response_format="pcm", **language)).body)
        for language in ({}, {"language": "de"}, {"language": "en"})
    )
    assert told == german != english


def test_another_language_is_a_clear_error(embedded):
    runner, server = embedded
    answer = runner.run(server.speech("你好，世界。"))
    assert (answer.status, answer.json()["code"]) == (400, "UNSPEAKABLE_TEXT")
