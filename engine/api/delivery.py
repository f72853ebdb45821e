"""Sends audio to a client as it is made, at the client's pace, until it has all of it, leaves, or is too slow."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import nullcontext
from urllib.parse import quote

import structlog
from aiohttp import web

from engine.api.framing import Bare, Framing
from engine.api.pace import Pace, SlowReader
from engine.api.service import SPEECH, SpeechService
from engine.api.synthesis import SpeechJob, SpeechStream
from engine.speech import SpeechError
from engine.web.access import request_id
from engine.web.errors import ApiError, from_speech_error, unforeseen

log = structlog.get_logger(__name__)


class Account:
    """The outcome of one job, for the log and the metrics. Every account that is opened is closed."""

    def __init__(self, service: SpeechService, endpoint: str, job: SpeechJob) -> None:
        self.outcome = "gone"
        """`ok` once all of it was sent; an error's code; `slow`; `gone` where the client left."""
        self.sent_s = 0.0
        """The playing time of what was sent."""
        self.characters = len(job.text) if isinstance(job.text, str) else 0
        self._metrics = service.metrics
        self._endpoint = endpoint
        self._job = job
        self._started_s = time.perf_counter()
        self._first_s: float | None = None

    def first_audio(self, speech: SpeechStream) -> None:
        """Notes that the first audio was made."""
        self._first_s = time.perf_counter() - self._started_s
        if speech.clip is None:
            self._metrics.first_audio.labels(self._endpoint).observe(self._first_s)

    def close(self, **context: str) -> None:
        """Writes the outcome to the metrics and the log."""
        total_s = time.perf_counter() - self._started_s
        form = self._job.format.name
        self._metrics.requests.labels(self._endpoint, form, self.outcome).inc()
        self._metrics.characters.inc(self.characters)
        self._metrics.audio.inc(self.sent_s)
        if self.outcome == "ok":
            self._metrics.total.labels(self._endpoint).observe(total_s)
        log.info(
            "speech",
            endpoint=self._endpoint,
            outcome=self.outcome,
            voice=self._job.style.voice,
            format=form,
            characters=self.characters,
            audio_s=round(self.sent_s, 3),
            first_audio_ms=None if self._first_s is None else round(self._first_s * 1000, 1),
            total_ms=round(total_s * 1000, 1),
            **context,
        )


async def deliver(request: web.Request, job: SpeechJob, framing: Framing, *, whole: bool = False) -> web.StreamResponse:
    """Answers with a job's audio, as it is made or `whole`. Raises ApiError or SpeechError until something is sent.

    Returning, or being cancelled because the client left, ends the synthesis.
    """
    service = request.app[SPEECH]
    assert request.match_info.route.resource is not None
    account = Account(service, request.match_info.route.resource.canonical, job)
    pace = Pace(service.settings.slow_reader_timeout)
    try:
        async with service.synthesizer.speak(job, request.remote or "", pace) as speech:
            account.first_audio(speech)
            cached = speech.clip is not None
            async with service.synthesizer.whole(speech) if whole else nullcontext(speech) as ready:
                response = web.StreamResponse(headers=_headers(ready, framing, cached))
                if isinstance(framing, Bare) and ready.clip is not None:
                    response.content_length = len(ready.clip.data)
                await response.prepare(request)
                account.outcome = await _send(request, response, ready, framing, account, pace)
            return response
    except (ApiError, SpeechError) as error:
        account.outcome = as_api_error(error).code
        raise
    finally:
        account.close(request=request_id(request))


def as_api_error(error: Exception) -> ApiError:
    """Returns what a client is told of an error; one that nobody foresaw is logged."""
    match error:
        case ApiError():
            return error
        case SpeechError():
            return from_speech_error(error)
        case _:
            return unforeseen(error)


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    speech: SpeechStream,
    framing: Framing,
    account: Account,
    pace: Pace,
) -> str:
    """Sends everything and returns the outcome."""

    async def send(data: bytes, duration_s: float = 0.0) -> None:
        if data:
            await pace.send(response.write(data), duration_s)

    async def send_all() -> str:
        await send(framing.head(speech))
        try:
            async for block in speech.blocks:
                account.sent_s += block.duration_s
                await send(framing.block(block), block.duration_s)
        except (SlowReader, ConnectionResetError):
            raise
        except Exception as error:
            fault = as_api_error(error)
            await send(framing.fault(fault))
            if not framing.fault(fault) and request.transport is not None:
                request.transport.close()  # chunks without their end: all that HTTP has to say "this is not whole"
            return fault.code
        await send(framing.tail(account.sent_s))
        await pace.send(response.write_eof(), 0.0)
        return "ok"

    try:
        return await send_all()
    except SlowReader:
        drop(request.transport)
        return "slow"
    except ConnectionResetError:
        return "gone"


def drop(transport: asyncio.WriteTransport | None) -> None:
    """Resets a connection, which also frees what the kernel still holds for a client that does not read."""
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _headers(speech: SpeechStream, framing: Framing, cached: bool) -> dict[str, str]:
    job = speech.job
    headers = {
        "Content-Type": framing.media_type,
        "X-Sample-Rate": str(job.sample_rate_hz),
        "X-Voice": quote(job.style.voice or "reference", safe=" "),
        "X-Cache": "hit" if cached else "miss",
        "X-Accel-Buffering": "no",  # proxies pass on what comes as it comes
    }
    if job.format.name == "pcm":
        headers |= {"X-PCM-Sample-Rate": str(job.sample_rate_hz), "X-PCM-Bit-Depth": "16", "X-PCM-Channels": "1"}
    if isinstance(framing, Bare):
        headers["Content-Disposition"] = f'attachment; filename="speech.{job.format.name}"'
    else:
        headers["Cache-Control"] = "no-cache"
    return headers
