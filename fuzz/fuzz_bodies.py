"""Bodies in JSON, of every operation, and those that a dialplan posts as a form: taken, or refused with a status."""

from __future__ import annotations

import json
from typing import Any, Final, cast
from uuid import UUID

from aiohttp import web

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen

with instrumented(
    __name__, "bridge.calls_api", "bridge.conversation.registration", "engine.api.requests", "engine.web"
):
    import engine.api.captions as captions
    import engine.api.speech as speech
    import engine.api.voices as voices
    from bridge.calls_api import CONCEPTS
    from bridge.calls_api.registering import RegisterRequest, read_announced
    from bridge.conversation.registration import MAX_CHARS, Registrations
    from engine.api.requests import CaptionedRequest, SocketMessage, SpeechRequest
    from engine.web.bodies import parse_json
    from engine.web.errors import ApiError

OPERATIONS: Final = [operation for concept in (*CONCEPTS, speech, captions, voices) for operation in concept.OPERATIONS]
BODIES: Final = [
    *dict.fromkeys(operation.body for operation in OPERATIONS if operation.body is not None),
    SocketMessage,
]
FORM: Final = 0xFF
"""The first byte of an input that is the form in which a call is announced."""
CALL: Final = "40325ec4-5ab0-4b5b-8a4c-6a3fd2d2a1f8"
_SPEECH: Final = {"input": "Hello.", "voice": {"id": "one"}, "speed": "1.5", "sample_rate": 8000.0, "language": "de-AT"}
_EXAMPLES: Final[tuple[dict[str, Any], ...]] = (
    {"id": CALL, "from": "100", "to": 200, "name": "Ann", "agent": "a", "continues": CALL, "x": "y"},
    {"from": "100", "name": "Ann"},
    {"to": "+431234", "variables": {"a": "b"}, "ring_s": 30, "retries": 1, "retry_after_s": 300},
    {"text": "Goodbye.", "next": "ctx,s,1", "voice": "one", "interruptible": False},
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 5, "item_id": "a", "event_id": "e"},
    {"type": "conversation.item.input_audio_transcription.completed", "transcript": "hi", "item_id": "a"},
    {**_SPEECH, "response_format": "mp3", "stream_format": "sse", "timestamps": True, "ref_audio": "data:;base64,AA=="},
    {**_SPEECH, "seed": 5, "temperature": 0.5, "top_p": 1, "instructions": "softly", "stream": "true"},
    {"input": "Hello.", "lang_code": "a", "return_timestamps": False, "stream": False},
    {"input_delta": "Hel", "event": "flush"},
    {"name": "my voice", "ref_text": "hello", "language": "en"},
)
SEEDS: Final = (
    *(bytes([which]) + json.dumps(example).encode() for which in range(len(BODIES)) for example in _EXAMPLES),
    bytes([FORM]) + f"id={CALL}&from=%2B43&to=200&name=Z%C3%BCrich+AG&agent=".encode(),
)


class _Posted:
    """As much of a request as a form is read from."""

    content_type, headers = "application/x-www-form-urlencoded", {"Content-Type": "application/x-www-form-urlencoded"}

    def __init__(self, body: bytes) -> None:
        self._body = body

    def clone(self, **_: object) -> _Posted:
        return self

    async def read(self) -> bytes:
        return self._body


def _read(which: int, body: bytes) -> object:
    if which == FORM:
        return run(read_announced(cast(web.Request, _Posted(body)), RegisterRequest))
    return parse_json(body, BODIES[which % len(BODIES)])


def check(data: bytes) -> None:
    which, body = chosen(data)
    try:
        read = _read(which, body)
        if isinstance(read, (SpeechRequest, CaptionedRequest)):
            request = read.speech() if isinstance(read, CaptionedRequest) else read
            request.language_code()
            request.recording()
            assert isinstance(request.voice_name(), str)
    except ApiError as error:
        assert 400 <= error.status < 500
        json.dumps(error.body()).encode()
        return
    if isinstance(read, RegisterRequest):
        _announce(read)


def _announce(body: RegisterRequest) -> None:
    registrations = Registrations(60.0, lambda: 0.0)
    try:
        kept = registrations.add(body.id, body.variables())
    except ValueError:
        return
    assert kept.chars <= MAX_CHARS
    assert all(value.isprintable() for value in kept.variables.values())
    assert registrations.claim(UUID(str(body.id))) is kept


if __name__ == "__main__":
    fuzz(check, SEEDS, is_json=True)
