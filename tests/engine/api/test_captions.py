"""When each word is said: `timestamps` of every endpoint, and POST /dev/captioned_speech."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.api.framing import CaptionedObject
from engine.api.synthesis import Block, SpeechJob
from engine.encode import FORMATS
from engine.speech import Style
from engine.word_times import WordTime
from tests.support.click_engine import RATE_HZ, ClickEngine, clicks_s
from tests.support.decoders import decode
from tests.support.processor_time import least_s
from tests.support.speech_server import Answer, speech_server

TEXT = "One two three, four. [pause:700ms] Five <prosody rate='1.5'>six seven.</prosody> It costs $5 now."
WORDS = ["One", "two", "three,", "four.", "Five", "six", "seven.", "It", "costs", "$5", "now."]
CLICKED = [*range(9), 9, 11]
"""The number of each word's click: `$5` is read as two words."""


@pytest.fixture
def engine():
    return ClickEngine()


def lines_of(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.body.splitlines()]


def audio_of(pieces: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(piece["audio"]) for piece in pieces if "audio" in piece)


def check(words: list[dict[str, Any]], audio: bytes, form: str = "pcm", rate_hz: int = RATE_HZ) -> None:
    """Every word begins where its click is in the audio that was sent, to one sample."""
    pcm, rate_hz = decode(form, audio, rate_hz)
    clicks = clicks_s(pcm, rate_hz)
    assert [word["word"] for word in words] == WORDS
    assert all("estimated" not in word for word in words)
    starts = [word["start_time"] for word in words]
    # A decoder that does not tell how much later its audio is makes it later by whole samples.
    assert starts == pytest.approx([clicks[number] for number in CLICKED], abs=1.01 / rate_hz)
    ends = [word["end_time"] for word in words]
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[3] <= starts[4] - 0.699, "the pause is no part of a word"
    assert ends[-1] <= (pcm.size + 1) / rate_hz


@pytest.mark.parametrize("form", ["wav", "pcm", "mp3", "opus", "flac", "mulaw"])
@pytest.mark.parametrize("speed", [1.0, 1.3])
async def test_the_words_of_a_whole_answer(server, form, speed):
    answer = await server.speech(TEXT, response_format=form, speed=speed, timestamps=True)
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert set(told) == {"audio", "audio_format", "timestamps"}
    check(told["timestamps"], audio_of([told]), form, int(answer.headers["X-Sample-Rate"]))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100])
async def test_at_every_rate(server, rate_hz):
    told = (await server.speech(TEXT, sample_rate=rate_hz, timestamps=True)).json()
    check(told["timestamps"], audio_of([told]), "wav")


async def test_in_lines_as_it_is_made(server):
    answer = await server.speech(TEXT, response_format="pcm", timestamps=True, stream=True)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = lines_of(answer)
    assert len(lines) > 10
    assert all(set(line) == {"audio", "audio_format", "timestamps"} for line in lines)
    check([word for line in lines for word in line["timestamps"]], audio_of(lines))


async def test_as_events_of_openai(server):
    answer = await server.speech(TEXT, response_format="pcm", timestamps=True, stream_format="sse")
    *events, done = map(json.loads, answer.events())
    assert {event["type"] for event in events} == {"speech.audio.delta", "speech.audio.words"}
    assert done["type"] == "speech.audio.done"
    check([word for event in events for word in event.get("words", [])], audio_of(events))


async def test_as_events_of_the_earlier_server(server):
    answer = await server.post("/v1/audio/speech/stream", {"input": TEXT, "timestamps": True})
    _, *events, done = answer.events()
    words = [word for event in events if event.startswith("{") for word in json.loads(event)["words"]]
    audio = b"".join(base64.b64decode(event) for event in events if not event.startswith("{"))
    assert done == "[DONE]"
    check(words, audio)


async def test_on_the_websocket_also_of_a_text_in_pieces(server):
    async with server.session.ws_connect(server.url + "/v1/audio/speech/ws") as socket:
        await socket.send_json({"input": TEXT, "timestamps": True})
        await socket.send_json({"input_delta": TEXT[:40], "timestamps": True, "sample_rate": 8_000})
        await socket.send_json({"input_delta": TEXT[40:]})
        await socket.send_json({"event": "flush"})
        for rate_hz in (RATE_HZ, 8_000):
            words, audio = [], b""
            while True:
                message = await socket.receive(timeout=10)
                if isinstance(message.data, bytes):
                    audio += message.data
                    continue
                event = json.loads(message.data)
                if event["event"] == "done":
                    break
                assert event["event"] == "words", event
                words += event["words"]
            check(words, audio, "pcm", rate_hz)


async def test_from_the_cache_too(server, engine):
    first = (await server.speech(TEXT, timestamps=True)).json()
    plain = await server.speech(TEXT)
    assert plain.headers["X-Cache"] == "miss", "what was kept has its words beside it and is another answer"
    again = await server.speech(TEXT, timestamps=True)
    assert again.headers["X-Cache"] == "hit"
    assert again.json() == first
    lines = lines_of(await server.speech(TEXT, timestamps=True, stream=True))
    assert [word for line in lines for word in line["timestamps"]] == first["timestamps"]


async def test_a_word_from_the_cache_comes_no_sooner_than_its_sound(server):
    await server.speech(TEXT, timestamps=True, response_format="pcm")
    answer = await server.speech(TEXT, timestamps=True, response_format="pcm", stream=True)
    assert answer.headers["X-Cache"] == "hit"
    lines = lines_of(answer)
    assert len(lines) > 1
    for number, line in enumerate(lines):
        come_s = len(audio_of(lines[: number + 1])) / 2 / RATE_HZ
        assert all(word["end_time"] <= come_s for word in line["timestamps"])


async def test_an_engine_that_tells_nothing_has_its_words_estimated(server, engine):
    engine.tells = False
    told = (await server.speech("One two three, four. Five six.", response_format="pcm", timestamps=True)).json()
    clicks = clicks_s(*decode("pcm", audio_of([told]), RATE_HZ))
    words = told["timestamps"]
    assert [word["word"] for word in words if "estimated" not in word] == ["One", "Five"]
    starts = [word["start_time"] for word in words]
    assert (starts[0], starts[4]) == pytest.approx((clicks[0], clicks[4]), abs=1 / RATE_HZ), "sentences are exact"
    assert starts == pytest.approx(clicks, abs=0.15)
    assert words[3]["end_time"] <= starts[4] - 0.17, "nor is the pause between sentences a part of a word"


async def test_raw_pcm_has_no_place_for_them(server):
    answer = await server.post("/v1/audio/speech/stream/pcm", {"input": TEXT, "timestamps": True})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "timestamps")


# Kokoro-FastAPI ---------------------------------------------------------------------------------------------------

KOKORO: dict[str, Any] = {
    "model": "kokoro", "input": TEXT, "voice": "af_heart", "speed": 1.0, "lang_code": "a", "volume_multiplier": 1.0,
    "normalization_options": {"normalize": True}, "return_download_link": False,
}  # fmt: skip


async def test_kokoro_captions_whole(server):
    answer = await server.post("/dev/captioned_speech", {**KOKORO, "response_format": "wav", "stream": False})
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert set(told) == {"audio", "audio_format", "timestamps"}
    assert told["audio_format"] == "audio/wav"
    assert all(set(word) == {"word", "start_time", "end_time"} for word in told["timestamps"])
    check(told["timestamps"], audio_of([told]), "wav")


async def test_kokoro_captions_in_lines_of_mp3_unless_told_otherwise(server, engine):
    answer = await server.post("/dev/captioned_speech", KOKORO)
    assert answer.headers["Content-Type"] == "application/json"
    lines = lines_of(answer)
    assert len(lines) > 3
    assert {line["audio_format"] for line in lines} == {"audio/mpeg"}
    check([word for line in lines for word in line["timestamps"]], audio_of(lines), "mp3")
    assert engine.spoken[0][1].language == "en"


async def test_kokoro_captions_without_times(server):
    told = (await server.post("/dev/captioned_speech", {**KOKORO, "stream": False, "return_timestamps": False})).json()
    assert told["timestamps"] == []
    assert np.asarray(decode("mp3", audio_of([told]), 0)[0]).size > RATE_HZ


async def test_kokoro_captions_say_what_is_wrong(server):
    answer = await server.post("/dev/captioned_speech", {"input": TEXT, "lang_code": "klingon!"})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "lang_code")
    answer = await server.post("/dev/captioned_speech", {"input": " "})
    assert (answer.status, answer.json()["code"]) == (400, "EMPTY_INPUT")


async def test_speech_that_fails_half_way_ends_no_object(tmp_path):
    from engine.speech import SpeechError
    from tests.support.tone_engine import ToneEngine

    engine = ToneEngine()
    engine.fails, engine.fails_after_chunks = SpeechError("broken"), 3
    async with speech_server(engine, tmp_path) as server:
        answer = await server.speech("A text that is long enough for this.", timestamps=True)
        assert answer.status == 500


def test_the_end_of_a_book_takes_no_longer_than_its_pages():
    """The words of 65,536 characters were written as JSON at their end, and held the event loop for 35 ms."""
    words = [WordTime("hello", number * 0.3, number * 0.3 + 0.3) for number in range(12_000)]
    framing = CaptionedObject(SpeechJob("", Style(), FORMATS["pcm"], RATE_HZ, timestamps=True))
    begun_s = time.thread_time()
    pages = [framing.block(Block(bytes(1_000), 0.3, (word,))) for word in words]
    pages_s = time.thread_time() - begun_s
    end = framing.tail(3_600.0)
    assert least_s(lambda: framing.tail(3_600.0)) < pages_s / 4
    told = json.loads(b'{"audio":"' + b"".join(pages) + end)
    assert len(told["timestamps"]) == len(words)
