"""POST /v1/audio/speech/batch, in vLLM-Omni's form."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import openai
import pytest

from engine.api import batch as api_batch
from engine.api import synthesis
from engine.speech import Priority, SpeechError, Style
from tests.support.decoders import decode
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, sound_of

PATH = "/v1/audio/speech/batch"


def items(*texts: str) -> list[dict[str, str]]:
    return [{"input": text} for text in texts]


def audio(result: dict[str, Any]) -> bytes:
    return base64.b64decode(result["audio_data"])


async def test_the_openai_client_gets_every_text_in_its_place(server):
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as client:
        body = {
            "voice": "low",
            "items": [
                {"input": "The first.", "speed": 2},
                {"input": "The second.", "voice": "high", "response_format": "mp3"},
                {"input": "The third.", "response_format": None},
            ],
        }
        told = await client.post("/audio/speech/batch", body=body, cast_to=dict[str, Any])
    assert told["id"].startswith("speech-batch-")
    assert (told["total"], told["succeeded"], told["failed"]) == (3, 3, 0)
    first, second, third = told["results"]
    assert [result["index"] for result in told["results"]] == [0, 1, 2]
    assert [result["status"] for result in told["results"]] == ["success"] * 3
    assert [result["media_type"] for result in told["results"]] == ["audio/wav", "audio/mpeg", "audio/wav"]
    assert np.array_equal(
        decode("wav", audio(first), RATE_HZ)[0], sound_of("The first.", Style(voice="low", speed=2.0))
    )
    assert np.array_equal(decode("wav", audio(third), RATE_HZ)[0], sound_of("The third.", Style(voice="low")))
    assert decode("mp3", audio(second), RATE_HZ)[0].size >= sound_of("The second.", Style(voice="high")).size


async def test_what_is_wrong_with_an_item_is_its_own(server, engine):
    engine_defect = {"input": "In a voice of none.", "voice": "nobody"}
    wrong = [{}, {"input": " "}, {"input": 5}, {"input": "unspeakable"}, engine_defect, {"input": "Fast.", "speed": 9}]
    wrong += [{"input": "x" * 70_000}, {"input": "In whose?", "ref_audio": "§"}, "a text", None, ["a text"]]
    wrong += [{"input": "How fast?", "speed": float("nan")}]
    answer = await server.post(PATH, {"items": [*wrong, {"input": "Right."}]})
    assert answer.status == 200
    told = answer.json()
    *failed, right = told["results"]
    assert [result["code"] for result in failed] == [
        "EMPTY_INPUT",
        "EMPTY_INPUT",
        "INVALID_REQUEST",
        "UNSPEAKABLE_TEXT",
        "UNKNOWN_VOICE",
        "INVALID_REQUEST",
        "INPUT_TOO_LONG",
        "INVALID_AUDIO",
        *["INVALID_REQUEST"] * 4,
    ]
    assert failed[8]["error"] == 'item 8 is no object, such as {"input": "One."}'
    assert all(result["status"] == "error" and result["error"] for result in failed)
    assert right["status"] == "success"
    assert (told["total"], told["succeeded"], told["failed"]) == (13, 1, 12)
    assert engine.open_streams == 0


async def test_a_defect_in_the_engine_is_told_and_not_described(server, engine):
    engine.fails, engine.fails_after_chunks = ZeroDivisionError("inside"), 1
    (result,) = (await server.post(PATH, {"items": items("One that is long.")})).json()["results"]
    assert result["code"] == "INTERNAL_ERROR"
    assert "inside" not in result["error"]
    engine.fails = SpeechError("out of order")
    (result,) = (await server.post(PATH, {"items": items("One that is long.")})).json()["results"]
    assert result == {"index": 0, "status": "error", "error": "out of order", "code": "SYNTHESIS_FAILED"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": items(*["More than may be."] * 33)},
        {"items": {"input": "One."}},
        {"items": "One."},
        {"items": items("One."), "speed": 9},
        {"items": items("One."), "response_format": "mp9"},
    ],
)
async def test_a_batch_that_is_wrong_as_a_whole_is_refused(server, body):
    answer = await server.post(PATH, body)
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_REQUEST")


async def test_a_recording_for_all_of_it_is_imitated(server, engine):
    recording = await server.speech("This is how I sound, and this is what I say to you now, at some length.")
    body = {"items": items("One.", "Two."), "ref_audio": base64.b64encode(recording.body).decode(), "ref_text": "This."}
    told = (await server.post(PATH, body)).json()
    assert told["succeeded"] == 2
    references = {style.reference for _, style in engine.spoken[-2:]}
    assert len(references) == 1
    assert {reference.text for reference in references} == {"This."}


async def test_few_are_made_at_once_and_others_go_first(server, engine):
    engine.hold()
    texts = [f"Number {number}." for number in range(12)]
    batch = asyncio.create_task(server.post(PATH, {"items": items(*texts)}))
    while engine.open_streams < api_batch.AT_ONCE:  # noqa: ASYNC110 - a count has no event to wait on
        await asyncio.sleep(0.001)
    assert server.service.synthesizer.depth == api_batch.AT_ONCE
    assert {style.priority for _, style in engine.spoken} == {Priority.BULK}
    single = asyncio.create_task(server.speech("One from somebody else."))
    while engine.open_streams == api_batch.AT_ONCE:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert engine.spoken[-1][1].priority == Priority.HTTP
    engine.release()
    assert (await single).status == 200
    assert (await batch).json()["succeeded"] == 12


async def test_an_item_waits_for_a_place(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(api_batch, "RETRY_S", 0.001)
    async with speech_server(engine, tmp_path, max_queue_depth=2) as server:
        told = (await server.post(PATH, {"items": items(*(f"Number {number}." for number in range(8)))})).json()
    assert told["succeeded"] == 8


async def test_an_item_that_finds_no_place_in_time_says_so(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(api_batch, "RETRY_S", 0.001)
    async with speech_server(engine, tmp_path, max_queue_depth=1, request_timeout=0.05) as server:
        with server.service.synthesizer._admission.place("elsewhere", api_batch.Pace()):
            (result,) = (await server.post(PATH, {"items": items("One.")})).json()["results"]
    assert (result["status"], result["code"]) == ("error", "QUEUE_FULL")


async def test_results_are_sent_as_they_are_made(server, engine):
    engine.hold(chunks=1)
    async with server.session.post(server.url + PATH, json={"items": items("One.", "Two.")}) as response:
        seen = b""
        while b'"audio_data"' not in seen or not seen.endswith(b"}, "):
            seen += await response.content.readany()
        assert [result["index"] for result in json.loads(seen.rstrip(b", ") + b"]}")["results"]] == [0]
        engine.release()
        rest = await response.read()
    assert json.loads(seen + rest)["succeeded"] == 2


async def test_what_is_held_is_bounded_and_given_back(server, monkeypatch):
    await server.post(PATH, {"items": items("One.", "Two.", "Three.")})
    assert server.service.synthesizer.held_bytes == 0
    monkeypatch.setattr(synthesis, "MAX_HELD_BYTES", 1_000)
    monkeypatch.setattr(server.service.settings, "request_timeout", 0.01)
    told = (await server.post(PATH, {"items": items("Something new.")})).json()
    assert told["results"][0]["code"] == "QUEUE_FULL"
    assert server.service.synthesizer.held_bytes == 0


async def test_an_engine_without_room_refuses_the_whole(server, monkeypatch):
    def full():
        raise api_batch.EngineBusy("no room")

    monkeypatch.setattr(server.service.engine, "check_room", full)
    answer = await server.post(PATH, {"items": items("One.")})
    assert answer.status == 503
    assert answer.headers["Retry-After"]
