"""POST /v1/audio/speech/batch, as vLLM-Omni has it: many texts in one request, each with a result of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, Field

from engine.api.delivery import Account, as_api_error, drop
from engine.api.pace import Pace, SlowReader
from engine.api.requests import SpeechFields, SpeechRequest, Speed, VoiceId
from engine.api.service import SPEECH
from engine.api.speech import job_of
from engine.api.synthesis import SpeechJob, Synthesizer
from engine.cache import Clip
from engine.encode import FormatName
from engine.speech import EngineBusy, Priority
from engine.web.access import request_id
from engine.web.bodies import parse_json, read_json
from engine.web.errors import ApiError, queue_full
from engine.web.operations import Operation

PATH: Final = "/v1/audio/speech/batch"
MAX_ITEMS: Final = 32
"""As vLLM-Omni takes by default."""
AT_ONCE: Final = 4
"""The items of a batch that are made at once, or wait to be sent: places that one batch may hold."""
RETRY_S: Final = 0.5
"""Before another attempt to find a place for an item: other clients go first."""
PIECE_BYTES: Final = 48 * 1024
"""What is written of a result at once: three bytes at a time are encoded."""


class BatchRequest(SpeechFields):
    """The body of `POST /v1/audio/speech/batch`. Its fields hold for each item that does not say otherwise."""

    items: list[Annotated[Any, Field(description="an object: `input`, and fields of the batch that differ here")]] = (
        Field(description="the texts", min_length=1, max_length=MAX_ITEMS)
    )
    model: str | None = Field(None, description="there is one model, see /v1/models")
    voice: str | VoiceId | None = Field(None, description="a name or an alias, see /v1/audio/voices; any case")
    response_format: FormatName = Field("wav", description="how the audio is encoded")
    speed: Speed | None = Field(None, description="1.0 is the voice's own pace")
    instructions: str | None = Field(None, description="how to say it, for voices that can be told")
    ref_audio: str | None = Field(
        None,
        description="a recording of the voice to speak in, base64, bare or as a `data:` URL",
        json_schema_extra={"format": "byte"},
    )
    ref_text: str | None = Field(None, description="what is said in `ref_audio`: the imitation is closer then")

    def speech(self, index: int) -> SpeechRequest:
        """Returns the request that an item is by itself. Raises ApiError where the item is wrong."""
        item = self.items[index]
        if not isinstance(item, dict):
            message = f'item {index} is no object, such as {{"input": "One."}}'
            raise ApiError(400, "INVALID_REQUEST", message, param=f"items.{index}")
        own = {name: value for name, value in item.items() if value is not None}
        shared = self.model_dump(exclude={"items"}, exclude_none=True)
        only = {"stream": False, "stream_format": None, "timestamps": None}
        return parse_json(json.dumps({**shared, **own, **only}), SpeechRequest)


class BatchItemResult(BaseModel):
    """What has become of one item."""

    index: int = Field(description="the item's place in the request, from 0")
    status: Literal["success", "error"]
    audio_data: str | None = Field(None, description="the whole audio, base64")
    media_type: str | None = None
    error: str | None = None
    code: str | None = Field(None, description="the error's code, as in `ErrorBody`")


class BatchResults(BaseModel):
    """The results of all items, in their order."""

    id: str
    results: list[BatchItemResult]
    total: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class _Made:
    """One item's audio, or its error."""

    result: dict[str, Any]
    clip: Clip | None = None


async def create_speech_batch(request: web.Request) -> web.StreamResponse:
    """Answers with each result as soon as it and those before it are there."""
    body = await read_json(request, BatchRequest)
    service = request.app[SPEECH]
    service.engine.check_room()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    pace = Pace(service.settings.slow_reader_timeout)
    total, succeeded = len(body.items), 0
    try:
        await pace.send(response.write(f'{{"id": "speech-batch-{uuid4()}", "results": ['.encode()), 0.0)
        async with aclosing(_results(request, body)) as results:
            async for made in results:
                succeeded += made.clip is not None
                for piece, duration_s in _pieces(made, last=made.result["index"] == total - 1):
                    await pace.send(response.write(piece), duration_s)
        told = f'], "total": {total}, "succeeded": {succeeded}, "failed": {total - succeeded}}}\n'
        await pace.send(response.write(told.encode()), 0.0)
        await pace.send(response.write_eof(), 0.0)
    except SlowReader:
        drop(request.transport)
    except ConnectionResetError:
        pass  # the client is gone
    return response


async def _results(request: web.Request, body: BatchRequest) -> AsyncGenerator[_Made, None]:
    """Yields the results in order. AT_ONCE items are made at once, or are held until those before them are sent."""
    synthesizer = request.app[SPEECH].synthesizer
    waiting = iter(range(len(body.items)))
    making = deque(asyncio.create_task(_make(request, body, index)) for index in islice(waiting, AT_ONCE))
    try:
        while making:
            made = await making[0]
            yield made
            _let_go(synthesizer, making.popleft())
            making.extend(asyncio.create_task(_make(request, body, index)) for index in islice(waiting, 1))
    finally:
        for task in making:
            task.add_done_callback(partial(_let_go, synthesizer))
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)


def _let_go(synthesizer: Synthesizer, task: asyncio.Task[_Made]) -> None:
    """Gives back what an item's audio took of what may be held."""
    if not task.cancelled() and task.exception() is None and (clip := task.result().clip) is not None:
        synthesizer.held_bytes -= len(clip.data)


async def _make(request: web.Request, body: BatchRequest, index: int) -> _Made:
    """Makes one item, and counts its audio among what is held."""
    try:
        job = await job_of(request, body.speech(index))
        clip = await _clip(request, replace(job, style=replace(job.style, priority=Priority.BULK)))
    except Exception as error:
        fault = as_api_error(error)
        return _Made({"index": index, "status": "error", "error": fault.message, "code": fault.code})
    request.app[SPEECH].synthesizer.held_bytes += len(clip.data)
    return _Made({"index": index, "status": "success", "media_type": job.format.media_type}, clip)


async def _clip(request: web.Request, job: SpeechJob) -> Clip:
    """Returns a job's whole audio. It waits for a place as long as a request may wait for audio. Raises as `speak`."""
    service = request.app[SPEECH]
    account = Account(service, PATH, job)
    give_up_s = time.monotonic() + service.settings.request_timeout
    try:
        while True:
            try:
                async with service.synthesizer.speak(job, request.remote or "", Pace()) as speech:
                    account.first_audio(speech)
                    async with service.synthesizer.whole(speech) as ready:
                        if ready.clip is None:
                            raise queue_full("too much audio is held for requests that want it whole")
                        account.outcome, account.sent_s = "ok", ready.clip.duration_s
                        return ready.clip
            except (ApiError, EngineBusy) as error:
                if as_api_error(error).code != "QUEUE_FULL" or time.monotonic() >= give_up_s:
                    raise
            await asyncio.sleep(RETRY_S)
    except Exception as error:
        fault = as_api_error(error)
        account.outcome = fault.code
        raise fault from None
    finally:
        account.close(request=request_id(request))


def _pieces(made: _Made, *, last: bool) -> Iterator[tuple[bytes, float]]:
    """Yields a result as JSON in small pieces, each with how long its audio plays."""
    told = json.dumps(made.result)
    if made.clip is None:
        yield told.encode() + (b"" if last else b", "), 0.0
        return
    yield told[:-1].encode() + b', "audio_data": "', 0.0
    data = memoryview(made.clip.data)
    for start in range(0, len(data), PIECE_BYTES):
        piece = data[start : start + PIECE_BYTES]
        yield base64.b64encode(piece), made.clip.duration_s * len(piece) / len(data)
    yield b'"}' if last else b'"}, ', 0.0


OPERATIONS: Final = [
    Operation(
        "POST",
        PATH,
        create_speech_batch,
        "Speak many texts",
        {200: ("the result of each item, in their order, sent as they are made", (BatchResults,))},
        f"vLLM-Omni's endpoint. {MAX_ITEMS} items at most; one that cannot be spoken has its error in its own result. "
        "Each item takes the body's fields, unless it has its own. Other requests go first.",
        body=BatchRequest,
        errors=(400, 413, 415, 500, 503),
        curl="""-H 'Content-Type: application/json' -d '{"items": [{"input": "One."}, {"input": "Two."}]}'""",
    ),
]
