"""POST /v1/audio/speech, /stream, /stream/pcm and /clone take a text and send its audio as it is made."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from engine.api.delivery import deliver
from engine.api.framing import Bare, DataEvents, Framing, OpenAiEvents
from engine.api.pace import Pace
from engine.api.requests import CloneRequest, SpeechRequest
from engine.api.service import SPEECH, SpeechService
from engine.recording import InvalidRecording
from engine.speech import CannotClone, EngineBusy, SpeechError, VoiceReference
from engine.upload import read_upload
from engine.web.bodies import read_form, read_json
from engine.web.errors import ApiError
from engine.web.operations import Operation


async def create_speech(request: web.Request) -> web.StreamResponse:
    body = await read_json(request, SpeechRequest)
    job = request.app[SPEECH].job(body)
    framing: Framing = OpenAiEvents(job) if body.stream_format == "sse" else Bare(job.format.media_type)
    return await deliver(request, job, framing)


async def stream_events(request: web.Request) -> web.StreamResponse:
    job = request.app[SPEECH].job(await read_json(request, SpeechRequest), "pcm")
    return await deliver(request, job, DataEvents())


async def stream_pcm(request: web.Request) -> web.StreamResponse:
    job = request.app[SPEECH].job(await read_json(request, SpeechRequest), "pcm")
    return await deliver(request, job, Bare(job.format.media_type))


async def clone_speech(request: web.Request) -> web.StreamResponse:
    service = request.app[SPEECH]
    if not service.engine.can_clone:
        raise CannotClone(service.engine.name)
    with service.uploads.place(request.remote or "", Pace()):
        body, file = await read_form(request, CloneRequest, service.voice_settings.max_upload_bytes)
        fields = body.model_dump(exclude={"ref_text", "stream", "language"})
        speech = SpeechRequest.model_validate({**fields, "language": body.language_code()})
        service.job(speech)  # whatever is wrong with the text is said before the recording is looked at
        reference = await prepare_reference(service, file, body.ref_text)
    job = service.job(speech, reference=reference)
    return await deliver(request, job, Bare(job.format.media_type), whole=not body.stream)


async def prepare_reference(service: SpeechService, file: bytes | None, ref_text: str | None) -> VoiceReference:
    """Returns an uploaded recording as a voice that the engine is ready for. Raises ApiError or SpeechError."""
    if file is None:
        raise ApiError(400, "INVALID_AUDIO", "a recording of the voice is required, as the part 'file'", param="file")
    limits, timeout_s = service.voice_settings, service.settings.request_timeout
    text = (ref_text or "").strip() or None
    try:
        async with service.decoding:
            reference = await read_upload(file, min_s=limits.reference_min_s, max_s=limits.reference_max_s, text=text)
    except InvalidRecording as error:
        raise ApiError(400, "INVALID_AUDIO", str(error), param="file") from None
    try:
        async with asyncio.timeout(timeout_s):
            await service.engine.prepare_clone(reference)
    except TimeoutError:
        message = f"the voice was not ready within {timeout_s:g} s"
        raise ApiError(504, "SYNTHESIS_TIMEOUT", message) from None
    except (CannotClone, EngineBusy):
        raise
    except SpeechError as error:
        raise ApiError(500, "CLONE_FAILED", str(error)) from None
    return reference


_HELLO: Final = """-H 'Content-Type: application/json' -d '{"input": "Hello there.", "voice": "alloy"}'"""
_ERRORS: Final = (400, 413, 415, 500, 503, 504)

OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/audio/speech",
        create_speech,
        "Speak a text",
        {200: ("the audio, sent as it is made", ("audio", "events"))},
        "OpenAI's endpoint. Every format is streamed; `stream_format: sse` wraps it into OpenAI's events.",
        body=SpeechRequest,
        errors=_ERRORS,
        curl=_HELLO + " -o speech.wav",
    ),
    Operation(
        "POST",
        "/v1/audio/speech/stream",
        stream_events,
        "Speak a text as server-sent events",
        {200: ("one JSON object that says what comes, then PCM16 in base64, then `[DONE]`", ("events",))},
        "The earlier server's endpoint. An error after the start is `data: [ERROR] …`. "
        "`response_format` and `stream_format` are taken and have no effect.",
        body=SpeechRequest,
        errors=_ERRORS,
        curl="-N " + _HELLO,
    ),
    Operation(
        "POST",
        "/v1/audio/speech/stream/pcm",
        stream_pcm,
        "Speak a text as raw PCM",
        {200: ("mono PCM16, little-endian; the headers X-PCM-* describe it", ("audio",))},
        "The earlier server's endpoint. `response_format` and `stream_format` are taken and have no effect.",
        body=SpeechRequest,
        errors=_ERRORS,
        curl=_HELLO + " -o speech.pcm",
    ),
    Operation(
        "POST",
        "/v1/audio/speech/clone",
        clone_speech,
        "Speak a text in the voice of a recording",
        {200: ("the audio, whole, or as it is made with `stream`", ("audio",))},
        "`file` is the recording: WAV, MP3, M4A, FLAC, Ogg, WebM. An engine that cannot clone answers 501.",
        body=CloneRequest,
        form="multipart",
        errors=(*_ERRORS, 501),
        curl="-F file=@reference.wav -F 'input=Hello there.' -F 'ref_text=What is said in it.' -o speech.wav",
    ),
]
