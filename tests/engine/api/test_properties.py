"""Every field of a request, over all of its values: it is honoured, or refused with its name."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.api.requests import LANGUAGE_NAMES, MAX_SEED, SpeechRequest
from engine.encode import FORMATS, SAMPLE_RATES_HZ
from engine.speech import Style
from engine.web.bodies import parse_json
from engine.web.errors import ApiError
from tests.support.decoders import decode
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, ToneEngine, sound_of

VOICES = {"low": "low", "high": "high", "alloy": "low", "nova": "high", "Ryan": "high", "VERSE": "high"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
GOOD = {
    "voice": st.sampled_from(sorted(VOICES)) | st.sampled_from(sorted(VOICES)).map(lambda name: {"id": name}),
    "model": st.text(max_size=20),
    "response_format": st.sampled_from(sorted(FORMATS)),
    "speed": st.floats(0.25, 4.0) | st.integers(1, 4),
    "instructions": st.text(max_size=50),
    "language": st.sampled_from([*LANGUAGE_NAMES, "English", "auto", "en", "zh-CN", "pt_BR", "yue"]),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1, exclude_min=True),
    "seed": st.integers(0, MAX_SEED),
    "sample_rate": st.sampled_from(SAMPLE_RATES_HZ),
    "stream": st.booleans(),
    "stream_format": st.sampled_from(["audio", "sse"]),
}
WITHIN = {
    "speed": lambda value: is_number(value) and 0.25 <= value <= 4.0,
    "temperature": lambda value: is_number(value) and 0 <= value <= 2,
    "top_p": lambda value: is_number(value) and 0 < value <= 1,
    "seed": lambda value: is_number(value) and value == math.floor(value) and 0 <= value <= MAX_SEED,
    "sample_rate": lambda value: is_number(value) and value == math.floor(value) and 8_000 <= value <= 48_000,
    "response_format": lambda value: value in list(FORMATS),
    "stream_format": lambda value: value in ["audio", "sse"],
    "model": lambda value: isinstance(value, str),
    "instructions": lambda value: isinstance(value, str),
    "instruct": lambda value: isinstance(value, str),
}


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def requests(**fixed):
    """Bodies that must be served."""
    words = st.text("abcdefgh ÄÖü", min_size=1, max_size=40).filter(str.strip)
    fields = st.fixed_dictionaries({"input": words}, optional={name: one | st.none() for name, one in GOOD.items()})
    return fields.map(lambda body: {**body, **fixed})


def outcome(body: bytes | str) -> SpeechRequest | ApiError:
    """The request, or why there is none. Anything else that is raised is a defect."""
    try:
        return parse_json(body, SpeechRequest)
    except ApiError as error:
        return error


@given(field=st.sampled_from(sorted(WITHIN)), value=JSON)
@settings(max_examples=500)
def test_a_value_is_taken_exactly_where_it_is_within_bounds(field, value):
    result = outcome(json.dumps({"input": "x", field: value}))
    if value is None or WITHIN[field](value):
        assert isinstance(result, SpeechRequest)
        assert getattr(result, field) == value
    else:
        assert isinstance(result, ApiError)
        assert result.status == 400
        assert result.param in (field, "body")


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=300)
def test_any_body_is_a_request_or_a_clear_error(data):
    result = outcome(data)
    if isinstance(result, ApiError):
        assert result.status == 400
        assert result.message
        assert result.code in ("INVALID_REQUEST", "EMPTY_INPUT")
    else:
        assert result.input


@given(st.text(max_size=12))
def test_a_language_is_a_code_a_known_name_or_refused(text):
    result = outcome(json.dumps({"input": "x", "language": text}))
    if isinstance(result, ApiError):
        assert result.param == "language"
    else:
        code = result.language_code()
        assert code is None or (code.isascii() and code.isalpha() and 2 <= len(code) <= 3)


@pytest.fixture(scope="module")
def loop_server(tmp_path_factory):
    """A server on a loop of its own: hypothesis runs its examples outside of any."""
    with asyncio.Runner() as runner:
        engine = ToneEngine()
        context = speech_server(engine, tmp_path_factory.mktemp("voices"), audio_cache_max=0)
        server = runner.run(context.__aenter__())
        yield runner, server
        runner.run(context.__aexit__(None, None, None))


@given(body=requests())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_good_request_is_served_as_asked(loop_server, body):
    runner, server = loop_server
    name = body.get("response_format") or "wav"
    rate_hz = FORMATS[name].rate_hz(RATE_HZ, body.get("sample_rate"))
    answer = runner.run(server.post("/v1/audio/speech", body))
    assert answer.status == 200
    assert answer.headers["X-Sample-Rate"] == str(rate_hz)
    voice = body.get("voice") or "low"
    assert answer.headers["X-Voice"] == VOICES[voice["id"] if isinstance(voice, dict) else voice]
    if body.get("stream_format") == "sse":
        assert json.loads(answer.events()[-1])["type"] == "speech.audio.done"
    else:
        assert answer.headers["Content-Type"] == FORMATS[name].media_type
        assert answer.body


@given(body=requests(response_format="pcm", stream_format="audio"))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_was_asked_for_is_lost_on_the_way(loop_server, body):
    runner, server = loop_server
    before = len(server.service.engine.spoken)
    answer = runner.run(server.post("/v1/audio/speech/stream/pcm", body))
    assert answer.status == 200
    said = server.service.engine.spoken[before:]
    for _, style in said:
        assert style.speed == (1.0 if body.get("speed") is None else body["speed"])
        assert (style.temperature, style.top_p, style.seed) == tuple(
            body.get(f) for f in ("temperature", "top_p", "seed")
        )
        assert style.instructions == (body.get("instructions") or None)
    rate_hz = body.get("sample_rate") or RATE_HZ
    heard, _ = decode("pcm", answer.body, rate_hz)
    seconds = sum(sound_of(sentence, Style(speed=style.speed)).size for sentence, style in said) / RATE_HZ
    assert heard.size / rate_hz >= seconds - 0.001
    assert np.abs(heard.astype(int)).max() > 1_000
