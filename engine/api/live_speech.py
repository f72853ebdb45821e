"""nari's public protocol `nari.speech.v1` on the WebSocket: one text in numbered pieces, spoken as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, Final, Literal
from uuid import uuid4

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field

from engine.api.delivery import Account, as_api_error, drop
from engine.api.pace import Pace, SlowReader
from engine.api.requests import SpeechRequest
from engine.api.service import SPEECH
from engine.api.synthesis import SpeechJob
from engine.growing_text import GrowingText
from engine.web.access import request_id
from engine.web.bodies import parse_json
from engine.web.inbox import Inbox

PROTOCOL: Final = "nari.speech.v1"
RATE_HZ: Final = 24_000
"""The one rate that the protocol knows."""
AUDIO: Final = {"encoding": "pcm_s16le", "sample_rate": RATE_HZ, "channels": 1}
OPENING_CHARS: Final = 32
"""The first words are spoken before the first sentence is whole: what follows them is still being written."""
INPUT_TIMEOUT_S: Final = 60.0
"""How long a client may send nothing while its text is not whole."""
CLOSE_CODES: Final = {
    "input_too_large": WSCloseCode.MESSAGE_TOO_BIG,
    "queue_full": WSCloseCode.TRY_AGAIN_LATER,
    "engine_not_ready": WSCloseCode.TRY_AGAIN_LATER,
}
"""Of errors, where it is neither the client's fault nor the server's."""


class LiveEvent(BaseModel):
    """What a client sends: the kind of event, and a piece of the text with its number."""

    model_config = ConfigDict(extra="ignore")

    type: str
    sequence: int = Field(-1, ge=-1)
    text: str = ""


class WrongEvent(Exception):
    """The client has sent what it may not send now. `code` is the protocol's word for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LiveInput:
    """The order of a client's events, without I/O: a start, pieces with rising numbers, and an end."""

    def __init__(self) -> None:
        self.text = GrowingText()
        self.is_started = False
        self.is_ended = False
        self._expected = 0
        self._is_blank = True

    def start(self) -> None:
        """Takes the request's beginning. Raises WrongEvent."""
        if self.is_started:
            raise WrongEvent("invalid_request", "this connection has its request already")
        self.is_started = True

    def append(self, sequence: int, piece: str) -> None:
        """Takes a piece of the text. Raises WrongEvent."""
        self._count(sequence)
        self._is_blank = self._is_blank and not piece.strip()
        self.text.write(piece)

    def end(self, sequence: int) -> None:
        """Takes the end of the text. Raises WrongEvent."""
        self._count(sequence)
        self.is_ended = True
        self.text.end()
        if self._is_blank:
            raise WrongEvent("empty_input", "there is nothing to say")

    def _count(self, sequence: int) -> None:
        if not self.is_started or self.is_ended:
            raise WrongEvent("invalid_request", "text is taken between request.start and input_text.end")
        if sequence != self._expected:
            raise WrongEvent("invalid_sequence", f"expected sequence {self._expected}, got {sequence}")
        self._expected += 1


class LiveSpeech:
    """One connection, which is one request."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, path: str) -> None:
        self._request, self._socket, self._path = request, socket, path
        self._service = request.app[SPEECH]
        self._input = LiveInput()
        self._id = f"ws-{uuid4().hex}"
        self._job: SpeechJob | None = None
        self._speaking: asyncio.Task[int] | None = None
        """It returns how many pieces of audio it has sent."""
        self._chunks = 0

    async def serve(self) -> None:
        """Serves the connection from its first event to its last."""
        await self._tell("session.created", protocol=PROTOCOL, audio=AUDIO)
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait([reading])
            if (stop_reason := reading.result()) is not None:
                await self._stop_speaking()
                await self._tell(
                    "response.done", request_id=self._id, stop_reason=stop_reason, audio_chunks=self._chunks
                )
                await self._close()
        except SlowReader:
            drop(self._request.transport)
        except ConnectionResetError:
            pass  # the client is gone
        except WrongEvent as error:
            await self._fail(error.code, str(error), "invalid_request_error")
        except Exception as error:
            fault = as_api_error(error)
            kind = "invalid_request_error" if fault.status < 500 else "generation_error"
            await self._fail(fault.code.lower(), fault.message, kind)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await self._stop_speaking()

    async def _read(self) -> Literal["stop", "cancelled"] | None:
        """Takes events until everything is spoken or cancelled; None where the client has left."""
        inbox = Inbox(self._socket)
        while True:
            coming = asyncio.ensure_future(inbox.next())
            try:
                patience_s = None if self._input.is_ended else INPUT_TIMEOUT_S
                tasks = {coming} if self._speaking is None else {coming, self._speaking}
                done, _ = await asyncio.wait(tasks, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                if self._speaking in done and self._speaking is not None:
                    self._speaking.result()
                    return "stop"
                if not done:
                    raise WrongEvent("input_timeout", f"nothing was sent for {INPUT_TIMEOUT_S:g} s")
                message = coming.result()
            finally:
                coming.cancel()
            if message is None:
                return None
            if await self._take(message):
                return "cancelled"

    async def _take(self, message: WSMessage) -> bool:
        """Takes one event; tells whether it cancels the request. Raises WrongEvent or ApiError."""
        if message.type is not WSMsgType.TEXT:
            raise WrongEvent("invalid_request", "events are JSON texts")
        event = parse_json(message.data, LiveEvent)
        match event.type:
            case "request.start":
                self._input.start()
                self._job = self._asked_for(message.data)
                await self._tell("request.configured")
            case "input_text.append":
                if self._service.too_long(self._input.text.characters + len(event.text)):
                    limit = self._service.settings.max_input_chars
                    raise WrongEvent("input_too_large", f"at most {limit} characters are allowed (MAX_INPUT_CHARS)")
                self._input.append(event.sequence, event.text)
                if self._speaking is None and event.text.strip():
                    self._speaking = asyncio.create_task(self._speak())
                await self._acknowledge(event)
            case "input_text.end":
                self._input.end(event.sequence)
                await self._acknowledge(event)
            case "response.cancel":
                return True
            case _:
                raise WrongEvent("unknown_event", f"there is no event {event.type[:40]!r}")
        return False

    def _asked_for(self, data: str) -> SpeechJob:
        fields = {**json.loads(data), "input": "in pieces", "sample_rate": RATE_HZ}
        fields.pop("type")
        if fields.setdefault("response_format", "pcm") != "pcm":
            raise WrongEvent("invalid_request", "this protocol has PCM alone")
        request = parse_json(json.dumps(fields), SpeechRequest)
        if request.ref_audio:
            raise WrongEvent("invalid_request", "a WebSocket takes no recording; store it, and name that voice")
        job = self._service.job(request, "pcm", text=self._input.text)
        return SpeechJob(job.text, job.style, job.format, RATE_HZ, opening_chars=OPENING_CHARS)

    async def _speak(self) -> int:
        assert self._job is not None
        account = Account(self._service, self._path, self._job)
        pace = Pace(self._service.settings.slow_reader_timeout)
        try:
            async with self._service.synthesizer.speak(self._job, self._request.remote or "", pace) as speech:
                account.first_audio(speech)
                await self._tell("response.started", request_id=self._id, audio=AUDIO)
                async for block in speech.blocks:
                    account.sent_s += block.duration_s
                    if block.data:
                        await pace.send(self._socket.send_bytes(block.data), block.duration_s)
                        self._chunks += 1
            account.outcome = "ok"
        except SlowReader:
            account.outcome = "slow"
            raise
        except asyncio.CancelledError:
            account.outcome = "cancelled"
            raise
        except ConnectionResetError:
            raise
        except Exception as error:
            account.outcome = as_api_error(error).code
            raise
        finally:
            account.characters = self._input.text.characters
            account.close(request=request_id(self._request))
        return self._chunks

    async def _stop_speaking(self) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.gather(self._speaking, return_exceptions=True)

    async def _acknowledge(self, event: LiveEvent) -> None:
        known = self._id if self._speaking is not None else None
        await self._tell("input_text.ack", event=event.type, sequence=event.sequence, request_id=known)

    async def _fail(self, code: str, message: str, kind: str) -> None:
        await self._stop_speaking()
        known = self._id if self._input.is_started else None
        await self._tell("error", request_id=known, error={"type": kind, "code": code, "message": message})
        usual = WSCloseCode.INTERNAL_ERROR if kind == "generation_error" else WSCloseCode.POLICY_VIOLATION
        await self._close(CLOSE_CODES.get(code, usual), code)

    async def _tell(self, kind: str, **told: Any) -> None:
        if not self._socket.closed:
            await self._be_read(self._socket.send_json({"type": kind, **told}))

    async def _close(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        await self._be_read(self._socket.close(code=code, message=reason.encode()))

    async def _be_read(self, sending: Awaitable[Any]) -> None:
        """Waits until the client has taken what is no audio; drops the connection of one that does not."""
        try:
            await Pace(self._service.settings.slow_reader_timeout).send(sending, 0.0)
        except SlowReader:
            drop(self._request.transport)
