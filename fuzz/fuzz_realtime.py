"""What a speech-to-speech service sends: each message is read, or refused as wrong, and what it tells is in bounds."""

from __future__ import annotations

import json
from typing import Any, Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen

with instrumented(__name__, "bridge.realtime.protocol"):
    from bridge.hearing.events import MAX_ID_CHARS, MAX_TEXT_CHARS, BadEvent
    from bridge.realtime.protocol import MAX_CALLS, AnswerEnded, CallerSaid, Sound, Words, WordsEnded, read, verbatim

_CALL: Final = {"type": "function_call", "call_id": "c", "name": "book", "arguments": "{}"}
_TOLD: Final[tuple[dict[str, Any], ...]] = (
    {"type": "session.updated"},
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 100},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900},
    {"type": "conversation.item.input_audio_transcription.completed", "transcript": "hello"},
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "AAAA/w=="},
    {"type": "response.output_audio.done", "item_id": "i"},
    {"type": "response.output_audio_transcript.delta", "item_id": "i", "delta": "Hi"},
    {"type": "response.output_audio_transcript.done", "item_id": "i", "transcript": "Hi."},
    {"type": "response.done", "response": {"id": "r", "status": "completed", "output": [_CALL, _CALL]}},
    {"type": "error", "error": {"message": "no"}},
)
SEEDS: Final = (b"\x00" + b"\n".join(json.dumps(event).encode() for event in _TOLD),)


def check(data: bytes) -> None:
    for message in chosen(data)[1].split(b"\n"):
        for form in (message, message.decode(errors="replace")):
            try:
                event = read(form)
            except BadEvent:
                continue
            match event:
                case CallerSaid(text) | Words(_, text) | WordsEnded(_, text):
                    assert len(text) <= MAX_TEXT_CHARS
                    json.dumps(verbatim(text)).encode()
                    text.encode()
                case Sound(answer, item, pcm):
                    assert len(pcm) % 2 == 0
                    assert max(len(answer), len(item)) <= MAX_ID_CHARS
                case AnswerEnded(_, _, calls):
                    assert len(calls) <= MAX_CALLS
                    assert all(len(call.id) <= MAX_ID_CHARS for call in calls)


if __name__ == "__main__":
    fuzz(check, SEEDS, is_json=True)
