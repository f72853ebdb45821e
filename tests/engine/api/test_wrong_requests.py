"""Requests for speech that are refused, and what they are told."""

from __future__ import annotations

import pytest

BAD = [
    ({}, "EMPTY_INPUT", "input"),
    ({"input": ""}, "EMPTY_INPUT", "input"),
    ({"input": " \n\t "}, "EMPTY_INPUT", "input"),
    ({"input": "x" * 65_537}, "INPUT_TOO_LONG", "input"),
    ({"input": 7}, "INVALID_REQUEST", "input"),
    ({"input": "x", "voice": "nobody"}, "UNKNOWN_VOICE", "voice"),
    ({"input": "x", "voice": {"name": "low"}}, "INVALID_REQUEST", "voice.str"),
    ({"input": "x", "response_format": "wma"}, "INVALID_REQUEST", "response_format"),
    ({"input": "x", "speed": 0.2}, "INVALID_REQUEST", "speed"),
    ({"input": "x", "speed": "fast"}, "INVALID_REQUEST", "speed"),
    ({"input": "x", "temperature": 2.1}, "INVALID_REQUEST", "temperature"),
    ({"input": "x", "top_p": 0}, "INVALID_REQUEST", "top_p"),
    ({"input": "x", "seed": -1}, "INVALID_REQUEST", "seed"),
    ({"input": "x", "seed": 1.5}, "INVALID_REQUEST", "seed"),
    ({"input": "x", "language": "Klingonese"}, "INVALID_REQUEST", "language"),
    ({"input": "x", "sample_rate": 7_999}, "INVALID_REQUEST", "sample_rate"),
    ({"input": "x", "stream_format": "xml"}, "INVALID_REQUEST", "stream_format"),
    ({"input": "unspeakable"}, "UNSPEAKABLE_TEXT", "input"),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD)
@pytest.mark.parametrize("path", ["", "/stream", "/stream/pcm"])
async def test_a_wrong_request_says_what_is_wrong(server, path, body, code, param):
    answer = await server.post("/v1/audio/speech" + path, body)
    assert answer.status == 400
    error = answer.json()
    assert error["code"] == code
    assert error["statusCode"] == 400
    assert error["message"] == error["error"]["message"]
    assert error["error"] == {
        "message": error["message"],
        "type": "invalid_request_error",
        "param": param,
        "code": code.lower(),
    }


async def test_an_unknown_voice_is_told_which_there_are(server):
    error = (await server.speech(voice="nobody")).json()
    assert {"low", "high", "alloy", "vivian"} <= set(error["context"]["known"])
    assert "low" in error["message"]


async def test_a_voices_name_cannot_write_headers(server, engine, monkeypatch):
    """An engine behind which another server stands passes any name on."""
    monkeypatch.setattr(engine, "resolve_voice", lambda name: name or "low")
    answer = await server.speech(voice="a\r\nX-Evil: é")
    assert answer.status == 200
    assert "X-Evil" not in answer.headers
    assert answer.headers["X-Voice"] == "a%0D%0AX-Evil%3A %C3%A9"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b'{"input": "\\ud800"}'])
async def test_a_body_that_is_no_object_is_refused(server, body):
    answer = await server.post("/v1/audio/speech", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_REQUEST")


async def test_a_body_of_another_kind_is_refused(server):
    answer = await server.post("/v1/audio/speech", data={"input": "x"})
    assert answer.status == 415
    assert "application/json" in answer.json()["message"]


async def test_a_body_that_is_too_large_is_refused(server):
    answer = await server.speech("x" * 2**21)
    assert (answer.status, answer.json()["statusCode"]) == (413, 413)
