"""The messages of the Realtime protocol, checked against the types of OpenAI's own library, and wrong events."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from openai.types.realtime import (
    ConversationItemCreateEvent,
    ConversationItemTruncateEvent,
    InputAudioBufferAppendEvent,
    ResponseCancelEvent,
    ResponseCreateEvent,
    SessionUpdateEvent,
)

from bridge.hearing.events import BadEvent, SpeechStarted, SpeechStopped
from bridge.realtime import protocol
from bridge.realtime.protocol import (
    AnswerBegan,
    AnswerEnded,
    CallerSaid,
    FunctionCall,
    Ready,
    RealtimeOptions,
    Refusal,
    Sound,
    SoundEnded,
    Words,
    WordsEnded,
)

TOOL = {"type": "function", "function": {"name": "book", "description": "d", "parameters": {"type": "object"}}}
FULL = RealtimeOptions("wss://h", "k", "m", "marin", "gpt-4o-mini-transcribe", "semantic_vad", language="de")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (protocol.opening(FULL, "Be kind.", [TOOL]), SessionUpdateEvent),
        (protocol.opening(RealtimeOptions("wss://h"), "", []), SessionUpdateEvent),
        (protocol.append(b"\0\0"), InputAudioBufferAppendEvent),
        (protocol.truncate("item_1", 1234), ConversationItemTruncateEvent),
        (protocol.cancel(), ResponseCancelEvent),
        (protocol.answer(), ResponseCreateEvent),
        (protocol.answer("Say hello."), ResponseCreateEvent),
        (protocol.told("[pressed the keys 1]"), ConversationItemCreateEvent),
        (protocol.output("call_1", "done"), ConversationItemCreateEvent),
    ],
)
def test_messages_are_as_openai_describes_them(message: dict[str, Any], kind: Any) -> None:
    read = kind.model_validate(message, strict=True)
    assert json.loads(read.model_dump_json(exclude_unset=True)) == message, "nothing in it is unknown"
    assert all(not extra.model_extra for extra in _models(read))


def _models(model: Any) -> list[Any]:
    inner = [getattr(model, name) for name in type(model).model_fields]
    return [model, *(deeper for value in inner if hasattr(value, "model_extra") for deeper in _models(value))]


@pytest.mark.parametrize(
    ("url", "model", "address"),
    [
        ("wss://h", "m", "wss://h/v1/realtime?model=m"),
        ("wss://h/", "", "wss://h/v1/realtime"),
        ("wss://h/openai/v1/realtime?api-version=1", "m", "wss://h/openai/v1/realtime?api-version=1&model=m"),
    ],
)
def test_addresses(url: str, model: str, address: str) -> None:
    assert str(protocol.address(RealtimeOptions(url, model=model))) == address


MESSAGE = {"type": "message"}
CALL = {"type": "function_call", "call_id": "c", "name": "book", "arguments": "{}"}


@pytest.mark.parametrize(
    ("event", "read"),
    [
        ({"type": "session.updated", "session": {}}, Ready()),
        ({"type": "input_audio_buffer.speech_started", "audio_start_ms": 12}, SpeechStarted(12)),
        ({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 34}, SpeechStopped(34)),
        (
            {"type": "conversation.item.input_audio_transcription.completed", "transcript": " Hello. "},
            CallerSaid("Hello."),
        ),
        ({"type": "conversation.item.input_audio_transcription.failed", "error": {}}, CallerSaid("")),
        ({"type": "response.created", "response": {"id": "r"}}, AnswerBegan("r")),
        (
            {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "AAEC/w=="},
            Sound("r", "i", b"\0\1\2\xff"),
        ),
        ({"type": "response.output_audio.done", "item_id": "i"}, SoundEnded("i")),
        ({"type": "response.output_audio_transcript.delta", "item_id": "i", "delta": "Hi "}, Words("i", "Hi ")),
        (
            {"type": "response.output_audio_transcript.done", "item_id": "i", "transcript": "a\ud800"},
            WordsEnded("i", "a?"),
        ),
        (
            {
                "type": "response.done",
                "response": {"id": "r", "status": "completed", "output": [CALL, {"type": "message"}]},
            },
            AnswerEnded("r", "completed", [FunctionCall("c", "book", "{}")]),
        ),
        (
            {"type": "response.done", "response": {"id": "r", "status": "cancelled", "output": [CALL]}},
            AnswerEnded("r", "cancelled"),
        ),
        ({"type": "error", "error": {"message": "no"}}, Refusal("no")),
        ({"type": "rate_limits.updated"}, None),
    ],
)
def test_events_are_read(event: dict[str, Any], read: Any) -> None:
    assert protocol.read(json.dumps(event)) == read


@pytest.mark.parametrize(
    "message",
    [
        "{", "[]", "5", '{"type": 5}', "[" * 100_000, b"\xff\xfe",
        '{"type": "response.output_audio.delta", "item_id": "i", "delta": "A"}',
        '{"type": "response.output_audio.delta", "item_id": "i", "delta": "AAEC"}',
        '{"type": "response.output_audio.delta", "item_id": ["i"], "delta": "AAE="}',
        '{"type": "response.output_audio_transcript.delta", "item_id": "i", "delta": 5}',
        '{"type": "response.done", "response": {"status": "completed", "output": 5}}',
        '{"type": "response.done", "response": {"status": "completed", "output": [{"type": "function_call"}]}}',
        '{"type": "input_audio_buffer.speech_started", "audio_start_ms": "soon"}',
        json.dumps({"type": "response.created", "response": {"id": "x" * 1_000}}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_event(message: str | bytes) -> None:
    with pytest.raises(BadEvent):
        protocol.read(message)


def test_sound_is_sent_as_it_is() -> None:
    assert base64.b64decode(protocol.append(b"\1\2")["audio"]) == b"\1\2"
