"""POST /v1/audio/speech, /stream, /stream/pcm and /clone take a text and send its audio as it is made."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from engine.api.captions import CaptionedSpeech, deliver_captioned
from engine.api.delivery import deliver
from engine.api.framing import Bare, DataEvents, OpenAiEvents
from engine.api.pace import Pace
from engine.api.requests import CloneRequest, PcmRequest, SpeechRequest
from engine.api.service import SPEECH, SpeechService
from engine.api.synthesis import SpeechJob
from engine.encode import FormatName
from engine.recording import InvalidRecording
from engine.speech import CannotClone, EngineBusy, EngineNotReady, SpeechError, VoiceReference
from engine.upload import read_upload
from engine.web.bodies import read_form, read_json
from engine.web.errors import ApiError
from engine.web.operations import Operation


async def create_speech(request: web.Request) -> web.StreamResponse:
    body, job = await _asked_for(request)
    if body.stream_format == "sse":
        return await deliver(request, job, OpenAiEvents(job))
    if job.timestamps:
        as_made = body.stream_format == "audio" if body.stream is None else body.stream
        return await deliver_captioned(request, job, as_made=as_made)
    as_made = body.stream_format == "audio" or not job.format.states_length if body.stream is None else body.stream
    return await deliver(request, job, Bare(job.format.media_type), whole=not as_made)


async def stream_events(request: web.Request) -> web.StreamResponse:
    _, job = await _asked_for(request, "pcm")
    return await deliver(request, job, DataEvents())


async def stream_pcm(request: web.Request) -> web.StreamResponse:
    _, job = await _asked_for(request, "pcm", PcmRequest)
    return await deliver(request, job, Bare(job.format.media_type))


async def _asked_for(
    request: web.Request, form: FormatName | None = None, model: type[SpeechRequest] = SpeechRequest
) -> tuple[SpeechRequest, SpeechJob]:
    """Returns a request's body and the job that it asks for, in `form` where the endpoint decides that."""
    body = await read_json(request, model)
    return body, await job_of(request, body, form)


async def job_of(request: web.Request, body: SpeechRequest, form: FormatName | None = None) -> SpeechJob:
    """Returns the job that `body` asks for, its recording read if it brings one. Raises ApiError or SpeechError."""
    service = request.app[SPEECH]
    recording = body.recording()
    job = service.job(body, form)
    if recording is None:
        return job
    if not service.engine.can_clone:
        raise CannotClone(service.engine.name)
    with service.uploads.place(request.remote or "", Pace()):
        reference = await prepare_reference(service, recording, body.ref_text, "ref_audio")
    return service.job(body, form, reference=reference)


async def clone_speech(request: web.Request) -> web.StreamResponse:
    service = request.app[SPEECH]
    with service.uploads.place(request.remote or "", Pace()):
        body, file = await read_form(request, CloneRequest, service.voice_settings.max_upload_bytes)
        fields = body.model_dump(exclude={"ref_text", "stream", "language"})
        speech = SpeechRequest.model_validate({**fields, "language": body.language_code()})
        service.job(speech)  # whatever is wrong with the text is said before the recording is looked at
        file = uploaded(file)
        if not service.engine.can_clone:
            raise CannotClone(service.engine.name)
        reference = await prepare_reference(service, file, body.ref_text)
    job = service.job(speech, reference=reference)
    return await deliver(request, job, Bare(job.format.media_type), whole=not body.stream)


def uploaded(file: bytes | None) -> bytes:
    """Returns the recording of a form. Raises ApiError where there is none."""
    if file is None:
        raise ApiError(400, "INVALID_AUDIO", "a recording of the voice is required, as the part 'file'", param="file")
    return file


async def prepare_reference(
    service: SpeechService, file: bytes, ref_text: str | None, param: str = "file"
) -> VoiceReference:
    """Returns an uploaded recording, the request's `param`, as a voice that the engine is ready for.

    Raises ApiError or SpeechError.
    """
    limits, timeout_s = service.voice_settings, service.settings.request_timeout
    text = (ref_text or "").strip() or None
    try:
        async with service.decoding:
            reference = await read_upload(file, min_s=limits.reference_min_s, max_s=limits.reference_max_s, text=text)
    except InvalidRecording as error:
        raise ApiError(400, "INVALID_AUDIO", str(error), param=param) from None
    try:
        async with asyncio.timeout(timeout_s):
            await service.engine.prepare_clone(reference)
    except TimeoutError:
        message = f"the voice was not ready within {timeout_s:g} s"
        raise ApiError(504, "SYNTHESIS_TIMEOUT", message) from None
    except (CannotClone, EngineBusy, EngineNotReady):
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
        {200: ("the audio, as it is made or whole", ("audio", "events", "lines", CaptionedSpeech))},
        "OpenAI's endpoint. The audio is sent as it is made, but WAV and FLAC when they are whole, so that they state "
        "their length: `stream: true` sends those too as they are made, and `stream: false` sends any format whole. "
        "`stream_format: sse` wraps the audio into OpenAI's events. `timestamps: true` tells when each word begins.",
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
        body=PcmRequest,
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
