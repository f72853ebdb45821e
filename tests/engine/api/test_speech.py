"""POST /v1/audio/speech, /stream and /stream/pcm."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import sys
import wave

import numpy as np
import pytest
import soundfile

from engine.audio import resample
from engine.encode import FORMATS, SAMPLE_RATES_HZ
from engine.speech import EngineBusy, EngineNotReady, Priority, SpeechError, Style
from tests.support.decoders import decode, likeness
from tests.support.speech_server import speech_server
from tests.support.tone_engine import CHUNK_SAMPLES, RATE_HZ, sound_of

TEXT = "The first sentence of this text. And then there is another one."
SENTENCES = ("The first sentence of this text.", "And then there is another one.")


def begins_with(pcm: np.ndarray, sentence: str, **style: object) -> bool:
    sound = sound_of(sentence, Style(voice="low", **style))
    return np.array_equal(pcm[: sound.size], sound)


async def test_the_default_is_a_wav_of_the_text(server, engine):
    answer = await server.speech(TEXT)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["X-Sample-Rate"] == "24000"
    assert answer.headers["X-Voice"] == "low"
    heard, rate_hz = decode("wav", answer.body, 0)
    assert rate_hz == RATE_HZ
    assert begins_with(heard, SENTENCES[0])
    last = sound_of(SENTENCES[1], Style(voice="low"))
    assert np.array_equal(heard[-last.size :], last)
    assert [sentence for sentence, _ in engine.spoken] == list(SENTENCES)


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_holds_the_same_speech(server, name):
    meant, _ = decode("pcm", (await server.speech(TEXT, response_format="pcm")).body, RATE_HZ)
    answer = await server.speech(TEXT, response_format=name)
    assert answer.headers["Content-Type"] == FORMATS[name].media_type
    assert answer.headers["Content-Disposition"] == f'attachment; filename="speech.{name}"'
    sent_hz = int(answer.headers["X-Sample-Rate"])
    assert sent_hz == (8_000 if name in ("mulaw", "alaw") else RATE_HZ)
    heard, heard_hz = decode(name, answer.body, sent_hz)
    assert heard_hz == sent_hz
    assert 0 <= heard.size / sent_hz - meant.size / RATE_HZ < 0.3
    assert likeness(heard, resample(meant, RATE_HZ, sent_hz)) > 0.9


@pytest.mark.parametrize("rate_hz", SAMPLE_RATES_HZ)
@pytest.mark.parametrize("path", ["", "/stream", "/stream/pcm"])
async def test_any_rate_on_any_endpoint_without_a_seam(server, path, rate_hz):
    native, _ = decode("pcm", (await server.post("/v1/audio/speech/stream/pcm", {"input": TEXT})).body, RATE_HZ)
    answer = await server.post("/v1/audio/speech" + path, {"input": TEXT, "sample_rate": rate_hz})
    assert answer.headers["X-Sample-Rate"] == str(rate_hz)
    if path == "/stream":
        head, *audio, done = answer.events()
        assert (json.loads(head)["sample_rate"], done) == (rate_hz, "[DONE]")
        heard = np.frombuffer(b"".join(map(base64.b64decode, audio)), "<i2")
    elif path == "":
        heard, stated_hz = decode("wav", answer.body, 0)
        assert stated_hz == rate_hz
    else:
        assert answer.headers["X-PCM-Sample-Rate"] == str(rate_hz)
        heard = np.frombuffer(answer.body, "<i2")
    assert np.array_equal(heard, resample(native, RATE_HZ, rate_hz))


async def test_events_of_the_earlier_server(server):
    answer = await server.post("/v1/audio/speech/stream", {"input": TEXT, "voice": "ALLOY", "language": "English"})
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"
    head, *audio, done = answer.events()
    assert json.loads(head) == {
        "sample_rate": 24_000,
        "format": "pcm16",
        "channels": 1,
        "bit_depth": 16,
        "voice": "low",
        "language": "en",
    }
    assert done == "[DONE]"
    assert len(audio) >= 10
    assert begins_with(np.frombuffer(b"".join(map(base64.b64decode, audio)), "<i2"), SENTENCES[0], language="en")


async def test_raw_pcm_says_what_it_is(server):
    answer = await server.post("/v1/audio/speech/stream/pcm", {"input": TEXT, "response_format": "mp3"})
    assert answer.headers["Content-Type"] == "audio/pcm"
    assert answer.headers["X-PCM-Sample-Rate"] == "24000"
    assert answer.headers["X-PCM-Bit-Depth"] == "16"
    assert answer.headers["X-PCM-Channels"] == "1"
    assert begins_with(np.frombuffer(answer.body, "<i2"), SENTENCES[0])


async def test_openai_events_carry_the_format_that_was_asked_for(server):
    plain = await server.speech(TEXT, response_format="flac")
    answer = await server.speech(TEXT, response_format="flac", stream_format="sse", seed=1)
    assert answer.headers["Content-Type"] == "text/event-stream"
    *deltas, done = map(json.loads, answer.events())
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    audio = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    assert decode("flac", audio, 0)[0].size == decode("flac", plain.body, 0)[0].size
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    assert usage["input_tokens"] == len(TEXT)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({"voice": "NOVA"}, {"voice": "high"}),
        ({"voice": {"id": "high"}}, {"voice": "high"}),
        ({"voice": None, "speed": None, "seed": None}, {}),
        ({"speed": 2}, {"speed": 2.0}),
        ({"instructions": "whisper"}, {"instructions": "whisper"}),
        ({"instruct": "whisper"}, {"instructions": "whisper"}),
        ({"language": "Japanese"}, {"language": "ja"}),
        ({"language": "pt-BR"}, {"language": "pt"}),
        ({"language": "Auto"}, {}),
        ({"temperature": 0.4, "top_p": 0.9, "seed": 7}, {"temperature": 0.4, "top_p": 0.9, "seed": 7}),
        ({"model": "gpt-4o-mini-tts", "user": "nobody", "extra": [1]}, {}),
    ],
)
async def test_what_is_asked_for_reaches_the_engine(server, fields, style):
    answer = await server.speech("Hello there.", response_format="pcm", **fields)
    assert answer.status == 200
    meant = sound_of("Hello there.", Style(**{"voice": "low", **style}))
    assert np.array_equal(np.frombuffer(answer.body, "<i2"), meant)


@pytest.mark.parametrize(("asked_hz", "sent_hz"), [(44_100, 48_000), (11_025, 12_000), (16_000, 16_000)])
async def test_a_rate_that_a_format_does_not_have_becomes_the_next(server, asked_hz, sent_hz):
    answer = await server.speech(TEXT, response_format="opus", sample_rate=asked_hz)
    assert answer.headers["X-Sample-Rate"] == str(sent_hz)
    assert decode("opus", answer.body, 0)[1] == sent_hz


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux only")
async def test_encoding_comes_after_all_that_a_call_waits_for(server):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    work = functools.partial(os.getpriority, os.PRIO_PROCESS, 0)
    assert await server.service.synthesizer.in_background(work) == max(own, 15)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


@pytest.mark.parametrize("path", ["", "/stream", "/stream/pcm"])
async def test_calls_come_before_it(server, engine, path):
    await server.post("/v1/audio/speech" + path, {"input": TEXT})
    assert {style.priority for _, style in engine.spoken} == {Priority.HTTP}


async def test_the_default_format_can_be_openais(engine, tmp_path):
    async with speech_server(engine, tmp_path, default_response_format="mp3") as server:
        assert (await server.speech()).headers["Content-Type"] == "audio/mpeg"


@pytest.mark.parametrize("name", ["wav", "flac"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_format_with_its_length_at_its_beginning_is_sent_whole(server, name, times):
    """`times` 2 asks again, and is answered out of the cache by the same bytes."""
    first = await server.speech(TEXT, response_format=name)
    for _ in range(times):
        answer = await server.speech(TEXT, response_format=name)
    assert answer.body == first.body
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    info = soundfile.info(io.BytesIO(answer.body))
    assert info.frames == decode(name, answer.body, RATE_HZ)[0].size
    if name == "wav":
        with wave.open(io.BytesIO(answer.body)) as file:
            assert file.getnframes() == info.frames


@pytest.mark.parametrize("name", sorted(FORMATS))
async def test_any_format_is_sent_whole_where_it_is_not_to_be_streamed(server, name):
    answer = await server.speech(TEXT, response_format=name, stream=False)
    assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream_format": "audio"}])
async def test_wav_is_sent_as_it_is_made_where_that_is_asked_for(server, engine, fields):
    engine.hold(chunks=2)
    async with server.session.post(server.url + "/v1/audio/speech", json={"input": TEXT, **fields}) as response:
        assert "Content-Length" not in response.headers
        await response.content.readexactly(44 + CHUNK_SAMPLES * 2)
        await engine.waiting.wait()
        engine.release()
        await response.read()


async def test_what_is_too_large_to_be_held_is_sent_as_it_is_made(server, monkeypatch):
    monkeypatch.setattr("engine.api.synthesis.MAX_HELD_BYTES", 20_000)
    answer = await server.speech(TEXT)
    samples = await server.speech(TEXT, response_format="pcm")
    assert "Content-Length" not in answer.headers
    assert answer.body[44:] == samples.body
    assert server.service.synthesizer.held_bytes == 0


@pytest.mark.parametrize(
    ("model", "media_type"),
    [("tts-1", "audio/mpeg"), ("tts-1-hd", "audio/mpeg"), ("gpt-4o-mini-tts", "audio/mpeg"), ("tone-1", "audio/wav")],
)
async def test_openais_models_speak_mp3_where_no_format_is_named(server, model, media_type):
    assert (await server.speech(TEXT, model=model)).headers["Content-Type"] == media_type
    assert (await server.speech(TEXT, model=model, response_format="wav")).headers["Content-Type"] == "audio/wav"


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        ({"speed": "1.2"}, {"speed": 1.2}),
        ({"temperature": "0.5", "top_p": "0.9", "seed": "7"}, {"temperature": 0.5, "top_p": 0.9, "seed": 7}),
        ({"sample_rate": "16000"}, {"sample_rate": 16_000}),
    ],
)
async def test_numbers_may_be_sent_as_texts(server, texts, numbers):
    assert (await server.speech(TEXT, **texts)).body == (await server.speech(TEXT, **numbers)).body


@pytest.mark.parametrize(("asked_hz", "sent_hz"), [(22_000, 22_050), (8_001, 11_025), (47_999, 48_000)])
async def test_any_rate_in_the_range_becomes_the_next_that_there_is(server, asked_hz, sent_hz):
    answer = await server.speech(TEXT, sample_rate=asked_hz, response_format="pcm")
    assert answer.headers["X-Sample-Rate"] == str(sent_hz)


async def test_a_recording_in_the_body_is_the_voice(server, engine):
    recording = io.BytesIO()
    sound = sound_of("A recording that lasts long enough, I hope so. " * 2, Style())[::3]
    soundfile.write(recording, sound, RATE_HZ // 3, format="WAV")
    encoded = base64.b64encode(recording.getvalue()).decode()
    plain = await server.speech(TEXT)
    bare = await server.speech(TEXT, ref_audio=encoded, ref_text="A recording.")
    url = await server.speech(TEXT, ref_audio="data:audio/wav;base64," + encoded, ref_text="A recording.")
    assert (bare.status, bare.headers["X-Voice"]) == (200, "reference")
    assert bare.body == url.body != plain.body
    assert len(engine.prepared) == 1


@pytest.mark.parametrize("ref_audio", ["https://example.com/a.wav", "no base64!", "AAAA"])
async def test_a_recording_that_cannot_be_used_is_refused(server, ref_audio):
    answer = await server.speech(TEXT, ref_audio=ref_audio)
    assert (answer.status, answer.json()["code"], answer.json()["error"]["param"]) == (
        400,
        "INVALID_AUDIO",
        "ref_audio",
    )


async def test_a_recording_is_refused_where_the_engine_cannot_clone(server, engine):
    engine.can_clone = False
    answer = await server.speech(TEXT, ref_audio="AAAA")
    assert (answer.status, answer.json()["code"]) == (501, "CANNOT_CLONE")


async def test_the_first_sentence_leaves_before_the_second_is_made(server, engine):
    engine.hold(chunks=2)
    async with server.session.post(server.url + "/v1/audio/speech/stream/pcm", json={"input": TEXT}) as response:
        first = await response.content.readexactly(2 * CHUNK_SAMPLES * 2)
        await engine.waiting.wait()
        assert engine.open_streams == 1
        engine.release()
        rest = await response.read()
    assert begins_with(np.frombuffer(first + rest, "<i2"), SENTENCES[0])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SpeechError("out of order"), 500, "SYNTHESIS_FAILED"),
        (EngineBusy("no room"), 503, "QUEUE_FULL"),
        (EngineNotReady("the model is being loaded again", 10), 503, "ENGINE_NOT_READY"),
        (ZeroDivisionError(), 500, "INTERNAL_ERROR"),
    ],
)
async def test_an_engine_that_fails_at_once_is_an_http_error(server, engine, error, status, code):
    engine.fails = error
    answer = await server.speech(TEXT)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)
    engine.fails = None
    assert (await server.speech(TEXT)).status == 200


@pytest.mark.parametrize("error", [SpeechError("out of order"), ZeroDivisionError(), TimeoutError()])
async def test_an_engine_that_fails_later_cuts_the_audio_off(server, engine, error):
    """A body that simply ended would be taken for the whole of it."""
    engine.fails, engine.fails_after_chunks = error, 2
    body = {"input": TEXT, "response_format": "pcm"}
    async with server.session.post(server.url + "/v1/audio/speech", json=body) as response:
        assert response.status == 200
        with pytest.raises(Exception, match=r"(?i)not enough data|payload|closed"):
            await response.read()


@pytest.mark.parametrize("fields", [{}, {"response_format": "flac"}, {"response_format": "mp3", "stream": False}])
async def test_an_engine_that_fails_later_is_an_http_error_where_the_audio_was_to_be_sent_whole(server, engine, fields):
    engine.fails, engine.fails_after_chunks = SpeechError("out of order"), 2
    answer = await server.speech(TEXT, **fields)
    assert (answer.status, answer.json()["code"]) == (500, "SYNTHESIS_FAILED")


async def test_an_engine_that_is_loaded_again_says_when_to_come_back(server, engine):
    engine.fails = EngineNotReady("the model is being loaded again", 10)
    assert (await server.speech(TEXT)).headers["Retry-After"] == "10"


async def test_an_engine_that_fails_later_is_an_event_where_there_are_events(server, engine):
    engine.fails, engine.fails_after_chunks = SpeechError("out of\norder"), 2
    answer = await server.post("/v1/audio/speech/stream", {"input": TEXT})
    assert answer.events()[-1] == "[ERROR] out of order"
    *_, last = (await server.speech(TEXT, stream_format="sse")).events()
    assert json.loads(last)["type"] == "error"
    assert json.loads(last)["error"]["code"] == "synthesis_failed"


async def test_a_defect_in_the_engine_is_an_event_too_and_not_told_in_detail(server, engine):
    engine.fails, engine.fails_after_chunks = ZeroDivisionError("inside"), 2
    answer = await server.post("/v1/audio/speech/stream", {"input": TEXT})
    assert answer.events()[-1].startswith("[ERROR] internal error")
    assert b"inside" not in answer.body


async def test_a_silent_engine_is_given_up(engine, tmp_path):
    async with speech_server(engine, tmp_path, request_timeout=0.5) as server:
        engine.hold()
        answer = await server.speech(TEXT)
        assert (answer.status, answer.json()["code"]) == (504, "SYNTHESIS_TIMEOUT")
        assert engine.open_streams == 0
        engine.hold(chunks=2)
        late = await server.post("/v1/audio/speech/stream", {"input": TEXT})
        assert late.events()[-1].startswith("[ERROR] the engine made no audio for 0.5 s")


async def test_an_engine_without_room_is_not_asked_to_speak(server, engine, monkeypatch):
    """Whoever is refused is told so before anything is made, and comes again."""

    def full():
        raise EngineBusy("a place would come free after 2.0 s")

    monkeypatch.setattr(engine, "check_room", full)
    answer = await server.speech(TEXT)
    assert (answer.status, answer.json()["code"]) == (503, "QUEUE_FULL")
    assert int(answer.headers["Retry-After"]) >= 1
    assert engine.open_streams == 0


async def test_more_at_once_than_allowed_are_sent_away(engine, tmp_path):
    async with speech_server(engine, tmp_path, max_queue_depth=1, audio_cache_max=0) as server:
        engine.hold(chunks=1)
        body = {"input": TEXT, "stream": True}
        async with server.session.post(server.url + "/v1/audio/speech", json=body) as first:
            assert first.status == 200
            answer = await server.speech(TEXT)
            assert (answer.status, answer.json()["code"]) == (503, "QUEUE_FULL")
            assert int(answer.headers["Retry-After"]) >= 1
            engine.release()
            await first.read()
        assert (await server.speech(TEXT)).status == 200


@pytest.mark.parametrize("text", ["…", "!?", "---", "\u200b"])
async def test_text_without_words_is_refused_or_spoken_but_never_hangs(server, text):
    answer = await server.speech(text)
    assert answer.status in (200, 400)
    if answer.status == 400:
        assert answer.json()["code"] in ("NO_SENTENCES", "EMPTY_INPUT", "UNSPEAKABLE_TEXT")
