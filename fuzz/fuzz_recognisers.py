"""What recognition services send: each message is read, or refused as wrong, and what it tells is within bounds."""

from __future__ import annotations

import json
from typing import Any, Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen

with instrumented(__name__, "bridge.hearing.asr", "bridge.hearing.events"):
    from bridge.hearing.asr.protocol import AsrOptions, ServiceError
    from bridge.hearing.asr.protocols import PROTOCOLS
    from bridge.hearing.events import MAX_TEXT_CHARS, BadEvent, Partial, Transcript

OPTIONS: Final = (AsrOptions(), AsrOptions(model="flux-general-en", language="en"))
KINDS: Final = [(protocol, options) for protocol in PROTOCOLS.values() for options in OPTIONS]
MOST_MS: Final = 10**10


def _messages(*events: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


_TOLD: Final = (
    _messages(
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 10, "item_id": "a"},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900, "item_id": "a"},
        {"type": "input_audio_buffer.committed", "item_id": "a", "previous_item_id": "0"},
        {"type": "conversation.item.input_audio_transcription.delta", "item_id": "a", "delta": "hel"},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "a", "transcript": "hello"},
        {"type": "conversation.item.input_audio_transcription.failed", "item_id": "a", "error": {"message": "no"}},
    ),
    _messages({"text": "hel", "is_partial": True}, {"text": "hello", "is_final": True}, {"error": "no", "code": 1}),
    _messages(
        {"type": "transcription.delta", "delta": "hello"},
        {"type": "transcription.done", "text": "hello"},
        {"type": "error", "error": "no", "code": "invalid_json"},
    ),
    _messages(
        {"type": "SpeechStarted", "timestamp": 0.5},
        {
            "type": "Results",
            "is_final": True,
            "speech_final": True,
            "start": 0.1,
            "duration": 1.5,
            "channel": {"alternatives": [{"transcript": "hello"}]},
        },
        {"type": "UtteranceEnd", "last_word_end": 2.5},
        {"type": "TurnInfo", "event": "StartOfTurn", "transcript": "hello", "words": [{"word": "hello", "start": 1}]},
        {"type": "TurnInfo", "event": "EndOfTurn", "transcript": "hello", "audio_window_end": 2.5},
    ),
    _messages({"partial": "hel"}, {"text": "hello"}),
)
SEEDS: Final = tuple(
    bytes([number]) + told for number in range(len(KINDS)) for told in (_TOLD[number // len(OPTIONS)],)
)


def check(data: bytes) -> None:
    which, stream = chosen(data)
    kind, options = KINDS[which % len(KINDS)]
    protocol = kind(options, offset_ms=40)
    for message in stream.split(b"\n"):
        for form in (message, message.decode("utf-8", "replace")):
            try:
                read = protocol.read(form)
            except (BadEvent, ServiceError):
                continue
            if read is None:
                continue
            events, replies = read
            for event in events:
                if isinstance(event, (Partial, Transcript)):
                    assert len(event.text) <= MAX_TEXT_CHARS
                for at_ms in (getattr(event, "audio_start_ms", None), getattr(event, "audio_end_ms", None)):
                    assert at_ms is None or (isinstance(at_ms, int) and 0 <= at_ms <= MOST_MS)
            for reply in replies:
                assert isinstance(reply, bytes) or reply.encode()


if __name__ == "__main__":
    fuzz(check, SEEDS, is_json=True)
