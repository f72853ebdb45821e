"""POST /dev/captioned_speech, as Kokoro-FastAPI has it, and the answers that tell when each word is said."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from engine.api.delivery import deliver
from engine.api.framing import CaptionedLines, CaptionedObject
from engine.api.requests import CaptionedRequest
from engine.api.service import SPEECH
from engine.api.synthesis import SpeechJob
from engine.web.bodies import read_json
from engine.web.operations import Operation


class WordTimestamp(BaseModel):
    """When a word is said, in seconds from the beginning of the audio."""

    word: str = Field(description="as it was written, with its punctuation")
    start_time: float
    end_time: float = Field(description="where the next word begins, or the sentence's sound ends")
    estimated: bool | None = Field(None, description="`true`: told from the words' lengths; not there: exact")


class CaptionedSpeech(BaseModel):
    """A piece of audio and its words."""

    audio: str = Field(description="base64")
    audio_format: str = Field(description="the media type of the audio")
    timestamps: list[WordTimestamp]


async def create_captioned_speech(request: web.Request) -> web.StreamResponse:
    body = await read_json(request, CaptionedRequest)
    job = request.app[SPEECH].job(body.speech())
    return await deliver_captioned(request, job, as_made=body.stream, lines_type="application/json")  # as Kokoro says


async def deliver_captioned(
    request: web.Request, job: SpeechJob, *, as_made: bool, lines_type: str = "application/x-ndjson"
) -> web.StreamResponse:
    """Answers with a job's audio and its words, in lines as they are made or as one object."""
    if as_made:
        return await deliver(request, job, CaptionedLines(job, lines_type))
    return await deliver(request, job, CaptionedObject(job), whole=True)


OPERATIONS: Final = [
    Operation(
        "POST",
        "/dev/captioned_speech",
        create_captioned_speech,
        "Speak a text and tell when each word is said",
        {200: ("a line of JSON for each piece, or one object", (CaptionedSpeech,))},
        "Kokoro-FastAPI's endpoint. The times count from the beginning of the audio.",
        body=CaptionedRequest,
        errors=(400, 413, 415, 500, 503, 504),
        curl="""-H 'Content-Type: application/json' -d '{"input": "Hello there.", "stream": false}'""",
    ),
]
