"""Cloning: POST /v1/audio/speech/clone and the stored voices."""

from __future__ import annotations

import asyncio
import io
from contextlib import ExitStack

import aiohttp
import numpy as np
import pytest
import soundfile
from yarl import URL

from engine.api.pace import Pace
from engine.api.service import UPLOADS
from engine.speech import Style, VoiceReference
from tests.support.decoders import decode
from tests.support.speech_server import SpeechServer, speech_server
from tests.support.tone_engine import RATE_HZ, ToneEngine, sound_of

SOUND = sound_of("A recording that lasts long enough to be of use to anybody, twice over, and then some.", Style())
REFERENCE = VoiceReference(SOUND, RATE_HZ, "What is said.")
CLONE = "/v1/audio/speech/clone"
TEXT = "The first sentence of this text. And then there is another one."


def wav(pcm=SOUND, rate_hz=RATE_HZ):
    file = io.BytesIO()
    soundfile.write(file, pcm, rate_hz, format="WAV")
    return file.getvalue()


def form(file: bytes | None = None, **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)
    data.add_field("file", wav() if file is None else file, filename="voice.wav", content_type="audio/wav")
    for name, value in fields.items():
        data.add_field(name, value)
    return data


def spoken_by(reference, text="Hello there.", voice="", **style):
    return sound_of(text, Style(voice=voice, reference=reference, **style))


async def test_a_text_is_spoken_in_the_recordings_voice(server):
    answer = await server.post(CLONE, data=form(input="Hello there.", ref_text="What is said."))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/wav")
    heard, rate_hz = soundfile.read(io.BytesIO(answer.body), dtype="int16")
    assert rate_hz == RATE_HZ
    assert np.array_equal(heard, spoken_by(REFERENCE))
    assert int(answer.headers["Content-Length"]) == len(answer.body)


async def test_every_field_of_the_form(server):
    fields = {
        "language": "Japanese",
        "temperature": "0.5",
        "top_p": "0.9",
        "sample_rate": "24000",
        "response_format": "pcm",
        "stream": "true",
        "ref_text": "What is said.",
    }
    answer = await server.post(CLONE, data=form(input="Hello there.", **fields))
    assert answer.status == 200
    assert answer.headers["Transfer-Encoding"] == "chunked"
    meant = spoken_by(REFERENCE, language="ja", temperature=0.5, top_p=0.9)
    assert np.array_equal(np.frombuffer(answer.body, "<i2"), meant)


@pytest.mark.parametrize("name", ["mp3", "opus", "flac", "mulaw"])
async def test_a_clone_in_other_formats_and_rates(server, name):
    answer = await server.post(CLONE, data=form(input=TEXT, response_format=name, sample_rate="8000"))
    heard, rate_hz = decode(name, answer.body, 8_000)
    assert rate_hz == 8_000 == int(answer.headers["X-Sample-Rate"])
    assert heard.size / 8_000 > 1


async def test_the_same_recording_and_text_are_made_once(server, engine):
    await server.post(CLONE, data=form(input=TEXT))
    again = await server.post(CLONE, data=form(input=TEXT))
    assert again.headers["X-Cache"] == "hit"
    assert (await server.post(CLONE, data=form(input=TEXT, ref_text="x"))).headers["X-Cache"] == "miss"
    assert (await server.get("/health")).json()["voice_cache_size"] == 2
    assert (await server.post("/cache/clear")).json()["voice_cleared"] == 2


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (form(input=""), 400, "EMPTY_INPUT"),
        (form(), 400, "EMPTY_INPUT"),
        (form(input="x" * 70_000), 400, "INPUT_TOO_LONG"),
        (form(file=b"not audio", input="x"), 400, "INVALID_AUDIO"),
        (form(file=b"", input="x"), 400, "INVALID_AUDIO"),
        (form(file=wav(np.zeros(RATE_HZ * 2, np.int16)), input="x"), 400, "INVALID_AUDIO"),
        (form(file=wav(SOUND[:2_400]), input="x"), 400, "INVALID_AUDIO"),
        (form(file=wav(np.tile(SOUND, 3)), input="x"), 400, "INVALID_AUDIO"),
        (form(file=bytes(300_000), input="x"), 413, "INVALID_AUDIO"),
        (form(input="x", response_format="wma"), 400, "INVALID_REQUEST"),
        (form(input="x", temperature="hot"), 400, "INVALID_REQUEST"),
        (form(input="x", sample_rate="7999"), 400, "INVALID_REQUEST"),
        (form(input="x", stream="perhaps"), 400, "INVALID_REQUEST"),
        (form(input="x", **{f"field{n}": "" for n in range(40)}), 400, "INVALID_REQUEST"),
        (aiohttp.FormData({"input": "x"}), 415, "INVALID_REQUEST"),
    ],
)
async def test_a_wrong_form_says_what_is_wrong(engine, tmp_path, data, status, code):
    async with speech_server(engine, tmp_path, max_upload_bytes=250_000, reference_max_s=4) as server:
        answer = await server.post(CLONE, data=data)
        assert (answer.status, answer.json()["code"]) == (status, code)
        assert engine.prepared == set()


async def test_a_form_without_a_recording(server):
    data = aiohttp.FormData({"input": "x"}, default_to_multipart=True)
    answer = await server.post(CLONE, data=data)
    assert (answer.status, answer.json()["error"]["param"]) == (400, "file")


@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n", b"--b--\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", b"x"]
)
async def test_a_form_that_is_broken(server, body):
    answer = await server.post(CLONE, data=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status == 400
    answer = await server.post(CLONE, data=body, headers={"Content-Type": "multipart/form-data"})
    assert answer.status == 400


async def test_an_engine_that_cannot_clone_says_which_can(engine, server):
    engine.can_clone = False
    for path in (CLONE, "/v1/audio/voices/anna"):
        answer = await server.post(path, data=form(input="x"))
        assert (answer.status, answer.json()["code"]) == (501, "CANNOT_CLONE")
        assert "qwen3" in answer.json()["message"]


async def test_a_recording_that_the_engine_cannot_use(engine, server):
    engine.refuses_recordings = True
    answer = await server.post(CLONE, data=form(input="x"))
    assert (answer.status, answer.json()["code"]) == (500, "CLONE_FAILED")
    assert "nobody speaks" in answer.json()["message"]


async def test_a_stored_voice_is_listed_spoken_and_deleted(server):
    stored = await server.post("/v1/audio/voices/Anna", data=form(ref_text="What is said.", language="de"))
    assert stored.status == 201
    entry = stored.json()
    assert (entry["id"], entry["name"], entry["kind"], entry["languages"]) == ("anna", "anna", "stored", ["de"])
    assert entry["duration_s"] == round(SOUND.size / RATE_HZ, 3)
    listed = (await server.get("/v1/audio/voices")).json()["voices"]
    assert entry in listed
    assert "anna" in (await server.get("/health")).json()["voices"]
    for voice in ("anna", "ANNA", {"id": "anna"}):
        answer = await server.speech("Hello there.", voice=voice, response_format="pcm")
        assert answer.headers["X-Voice"] == "anna"
        assert np.array_equal(np.frombuffer(answer.body, "<i2"), spoken_by(REFERENCE, voice="anna"))
    deleted = await server.request("DELETE", "/v1/audio/voices/anna")
    assert deleted.json() == {"id": "anna", "deleted": True}
    assert (await server.speech(voice="anna")).json()["code"] == "UNKNOWN_VOICE"
    assert (await server.request("DELETE", "/v1/audio/voices/anna")).json()["code"] == "VOICE_NOT_FOUND"


async def test_stored_voices_survive_a_restart(engine, tmp_path):
    async with speech_server(engine, tmp_path) as server:
        assert (await server.post("/v1/audio/voices/anna", data=form(ref_text="What is said."))).status == 201
    async with speech_server(ToneEngine(), tmp_path) as server:
        answer = await server.speech("Hello there.", voice="anna", response_format="pcm")
        assert np.array_equal(np.frombuffer(answer.body, "<i2"), spoken_by(REFERENCE, voice="anna"))
    async with speech_server(engine, tmp_path) as server:
        engine.can_clone = False
        assert (await server.speech(voice="anna")).status == 501


@pytest.mark.parametrize("name", ["anna", "ANNA", "low", "Alloy", "vivian"])
async def test_a_name_that_is_taken_is_refused(server, name):
    await server.post("/v1/audio/voices/anna", data=form())
    answer = await server.post(f"/v1/audio/voices/{name}", data=form())
    assert (answer.status, answer.json()["code"]) == (409, "VOICE_EXISTS")


@pytest.mark.parametrize("name", ["%2e%2e", "a%2fb", "-anna", "a" * 65, "%C3%A4nna", "anna.wav"])
async def test_a_name_that_is_no_file_name_is_refused(server, tmp_path, name):
    answer = await server.post(f"/v1/audio/voices/{name}", data=form())
    assert answer.status in (400, 404)
    assert list(tmp_path.iterdir()) == []


async def test_the_list_says_what_every_alias_means(server):
    listed = (await server.get("/v1/audio/voices")).json()
    assert listed["aliases"]["alloy"] == "low"
    assert len(listed["aliases"]) == 50
    low, high = listed["voices"]
    assert (low["id"], low["default"], low["engine"], low["kind"]) == ("low", True, "tone", "engine")
    assert (high["languages"], high["default"]) == (["en", "zh"], False)
    assert "alloy" in low["aliases"]
    assert "vivian" in high["aliases"]
    for name, meant in listed["aliases"].items():
        assert (await server.speech("Hi.", voice=name)).headers["X-Voice"] == meant


async def test_so_many_recordings_are_uploaded_at_once(server: SpeechServer) -> None:
    """Each is in memory as a whole, and one address never has all of the places."""
    places = server.service.uploads
    with ExitStack() as others:
        for _ in range(UPLOADS - 1):
            others.enter_context(places.place("127.0.0.1", Pace()))
        for path in (CLONE, "/v1/audio/voices/mine"):
            answer = await server.post(path, data=form(input="Hello there."))
            assert (answer.status, answer.json()["error"]["code"]) == (503, "queue_full")
        with places.place("another address", Pace()):
            pass
    answer = await server.post(CLONE, data=form(input="Hello there."))
    assert answer.status == 200
    assert places.taken == 0


@pytest.mark.parametrize("path", [CLONE, "/v1/audio/voices/mine"])
async def test_a_form_that_is_too_large_is_refused_unread(server: SpeechServer, path: str) -> None:
    """Whatever it is made of: 180 MB may stand before the first part."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    url = URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"{head}Content-Length: {180 * 10**6}\r\n\r\n".encode())
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()
