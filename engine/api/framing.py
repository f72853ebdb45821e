"""Frames blocks of audio for the wire: as they are, as OpenAI's events, or as the earlier server's."""

from __future__ import annotations

import base64
import json
import math
from typing import Final, Protocol

from engine.api.synthesis import SpeechJob, SpeechStream
from engine.web.errors import ApiError

OUTPUT_TOKENS_PER_S: Final = 12.5
"""The codec frames in a second of the speech model, which stand for the output tokens of OpenAI's `usage`."""


class Framing(Protocol):
    """The bytes around the audio. `fault` tells of an error after the start; it is b"" where nothing can."""

    media_type: str

    def head(self, speech: SpeechStream) -> bytes: ...
    def block(self, data: bytes) -> bytes: ...
    def tail(self, duration_s: float) -> bytes: ...
    def fault(self, error: ApiError) -> bytes: ...


class Bare:
    """The audio without anything around it."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type

    def head(self, speech: SpeechStream) -> bytes:
        return b""

    def block(self, data: bytes) -> bytes:
        return data

    def tail(self, duration_s: float) -> bytes:
        return b""

    def fault(self, error: ApiError) -> bytes:
        return b""


class OpenAiEvents:
    """`speech.audio.delta` events, then `speech.audio.done` with the usage: characters in, codec frames out."""

    media_type = "text/event-stream"

    def __init__(self, job: SpeechJob) -> None:
        self._characters = len(job.text) if isinstance(job.text, str) else 0

    def head(self, speech: SpeechStream) -> bytes:
        return b""

    def block(self, data: bytes) -> bytes:
        return b'data: {"type":"speech.audio.delta","audio":"' + base64.b64encode(data) + b'"}\n\n'

    def tail(self, duration_s: float) -> bytes:
        output_tokens = math.ceil(duration_s * OUTPUT_TOKENS_PER_S)
        usage = {
            "input_tokens": self._characters,
            "output_tokens": output_tokens,
            "total_tokens": self._characters + output_tokens,
        }
        return _event(json.dumps({"type": "speech.audio.done", "usage": usage}))

    def fault(self, error: ApiError) -> bytes:
        return _event(json.dumps({"type": "error", **error.body()}))


class DataEvents:
    """The earlier server's events: a JSON object that says what comes, base64 PCM16, `[DONE]`; or `[ERROR]` and why."""

    media_type = "text/event-stream"

    def head(self, speech: SpeechStream) -> bytes:
        job = speech.job
        return _event(
            json.dumps(
                {
                    "sample_rate": job.sample_rate_hz,
                    "format": "pcm16",
                    "channels": 1,
                    "bit_depth": 16,
                    "voice": job.style.voice,
                    "language": job.style.language,
                }
            )
        )

    def block(self, data: bytes) -> bytes:
        return b"data: " + base64.b64encode(data) + b"\n\n"

    def tail(self, duration_s: float) -> bytes:
        return _event("[DONE]")

    def fault(self, error: ApiError) -> bytes:
        return _event(f"[ERROR] {' '.join(error.message.split())}")


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()
