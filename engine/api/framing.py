"""Frames blocks of audio for the wire: as they are, as events, or as JSON that has the times of the words too."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from typing import Any, Final, Protocol

from engine.api.synthesis import Block, SpeechJob, SpeechStream
from engine.web.errors import ApiError
from engine.word_times import WordTime

OUTPUT_TOKENS_PER_S: Final = 12.5
"""The codec frames in a second of the speech model, which stand for the output tokens of OpenAI's `usage`."""
DECIMALS: Final = 6
"""Of a second: enough for each sample at 48,000 a second."""


class Framing(Protocol):
    """The bytes around the audio. `fault` tells of an error after the start; it is b"" where nothing can."""

    media_type: str

    def head(self, speech: SpeechStream) -> bytes: ...
    def block(self, block: Block) -> bytes: ...
    def tail(self, duration_s: float) -> bytes: ...
    def fault(self, error: ApiError) -> bytes: ...


class Bare:
    """The audio without anything around it."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type

    def head(self, speech: SpeechStream) -> bytes:
        return b""

    def block(self, block: Block) -> bytes:
        return block.data

    def tail(self, duration_s: float) -> bytes:
        return b""

    def fault(self, error: ApiError) -> bytes:
        return b""


class OpenAiEvents:
    """`speech.audio.delta` events, then `speech.audio.done` with the usage: characters in, codec frames out.

    Between them lie `speech.audio.words` events, where the times of the words are wanted.
    """

    media_type = "text/event-stream"

    def __init__(self, job: SpeechJob) -> None:
        self._characters = len(job.text) if isinstance(job.text, str) else 0

    def head(self, speech: SpeechStream) -> bytes:
        return b""

    def block(self, block: Block) -> bytes:
        sent = b""
        if block.data:
            sent = b'data: {"type":"speech.audio.delta","audio":"' + base64.b64encode(block.data) + b'"}\n\n'
        if block.words:
            sent += _event(json.dumps({"type": "speech.audio.words", "words": described(block.words)}))
        return sent

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
    """The earlier server's events: a JSON object that says what comes, base64 PCM16, `[DONE]`; or `[ERROR]` and why.

    Where the times of the words are wanted, `{"words": …}` lies between them.
    """

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

    def block(self, block: Block) -> bytes:
        sent = b"data: " + base64.b64encode(block.data) + b"\n\n" if block.data else b""
        return sent + _event(json.dumps({"words": described(block.words)})) if block.words else sent

    def tail(self, duration_s: float) -> bytes:
        return _event("[DONE]")

    def fault(self, error: ApiError) -> bytes:
        return _event(f"[ERROR] {' '.join(error.message.split())}")


class CaptionedObject:
    """One JSON object in Kokoro-FastAPI's form: the audio in base64, and then the times of the words."""

    media_type = "application/json"

    def __init__(self, job: SpeechJob) -> None:
        self._audio_format = job.format.media_type
        self._odd = b""
        """What is left of the audio: three bytes at a time are encoded."""
        self._words: list[str] = []
        """The words so far, in JSON: those of a book would hold the event loop if they were written at its end."""

    def head(self, speech: SpeechStream) -> bytes:
        return b'{"audio":"'

    def block(self, block: Block) -> bytes:
        if block.words:
            self._words.append(json.dumps(described(block.words))[1:-1])
        data = self._odd + block.data
        whole = len(data) // 3 * 3
        self._odd = data[whole:]
        return base64.b64encode(data[:whole])

    def tail(self, duration_s: float) -> bytes:
        about = f'","audio_format":{json.dumps(self._audio_format)},"timestamps":[{", ".join(self._words)}]}}\n'
        return base64.b64encode(self._odd) + about.encode()

    def fault(self, error: ApiError) -> bytes:
        return b""


class CaptionedLines:
    """A line of JSON for each piece of audio, each in the form of a `CaptionedObject`."""

    def __init__(self, job: SpeechJob, media_type: str) -> None:
        self.media_type = media_type
        self._audio_format = job.format.media_type
        self._words: list[WordTime] = []
        """Words without audio to go with."""

    def head(self, speech: SpeechStream) -> bytes:
        return b""

    def block(self, block: Block) -> bytes:
        self._words += block.words
        return self._line(block.data) if block.data else b""

    def tail(self, duration_s: float) -> bytes:
        return self._line(b"") if self._words else b""

    def fault(self, error: ApiError) -> bytes:
        return b""

    def _line(self, data: bytes) -> bytes:
        words, self._words = self._words, []
        about = {"audio_format": self._audio_format, "timestamps": described(words)}
        return b'{"audio":"' + base64.b64encode(data) + b'",' + json.dumps(about).encode()[1:] + b"\n"


def described(words: Iterable[WordTime]) -> list[dict[str, Any]]:
    """Returns words and their times as clients get them. The keys are Kokoro-FastAPI's, but for `estimated`."""
    return [
        {"word": word.word, "start_time": round(word.start_s, DECIMALS), "end_time": round(word.end_s, DECIMALS)}
        | ({"estimated": True} if word.is_estimated else {})
        for word in words
    ]


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()
