"""WS /v1/audio/speech/ws speaks requests in turn on one connection, whole or in pieces, until they are cancelled."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

import engine.api.live_speech as live_speech
from engine.api.delivery import Account, as_api_error, drop
from engine.api.framing import described
from engine.api.pace import Pace, SlowReader
from engine.api.requests import SocketMessage, SpeechRequest
from engine.api.service import SPEECH
from engine.api.synthesis import SpeechJob
from engine.growing_text import GrowingText
from engine.speech import SpeechError
from engine.web.access import request_id
from engine.web.bodies import parse_json
from engine.web.errors import ApiError, empty_input
from engine.web.inbox import PROTOCOL, Inbox, create_socket

PATH: Final = "/v1/audio/speech/ws"
MAX_MESSAGE_BYTES: Final = 1024 * 1024
IDLE_S: Final = 60.0
"""How long a client may send nothing, not even a ping, while nothing is spoken for it."""
MAX_TURNS: Final = 64
"""The number of requests that one connection may have unfinished."""
SOCKETS: Final = web.AppKey("sockets", set[web.WebSocketResponse])


async def serve_socket(request: web.Request) -> web.StreamResponse:
    """Serves one connection, from its handshake to its end."""
    # No heartbeat: libraries that answer pings only while they are read from would be dropped when idle.
    socket = create_socket(MAX_MESSAGE_BYTES, protocols=(live_speech.PROTOCOL, PROTOCOL))
    if not socket.can_prepare(request).ok:
        raise ApiError(426, "INVALID_REQUEST", f"{PATH} is a WebSocket", headers={"Upgrade": "websocket"})
    socket.headers["X-PCM-Sample-Rate"] = str(request.app[SPEECH].engine.sample_rate_hz)
    await socket.prepare(request)
    request.app[SOCKETS].add(socket)
    if socket.ws_protocol == live_speech.PROTOCOL:
        try:
            await live_speech.LiveSpeech(request, socket, PATH).serve()
        finally:
            request.app[SOCKETS].discard(socket)
        return socket
    connection = _Connection(request, socket)
    inbox = Inbox(socket)
    speaker = asyncio.create_task(connection.speak())
    try:
        while True:
            try:
                message = await inbox.next(IDLE_S)
            except TimeoutError:
                if connection.idle:
                    await socket.close(message=b"idle")
                    break
                continue
            if message is None:
                break
            await connection.receive(message)
    finally:
        request.app[SOCKETS].discard(socket)
        speaker.cancel()
        await asyncio.gather(speaker, return_exceptions=True)
    return socket


async def close_sockets(app: web.Application) -> None:
    """Closes every connection with the word that the server is stopping."""
    sockets: set[web.WebSocketResponse] = app[SOCKETS]
    goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is stopping") for socket in sockets]
    await asyncio.gather(*goodbyes)


class _Turn:
    """One request and its state."""

    def __init__(self, job: SpeechJob, text: GrowingText | None) -> None:
        self.job = job
        self.text = text
        self.dropped = False
        self.fault: ApiError | None = None
        """The error for which it was dropped; None where the client cancelled it."""
        self.task: asyncio.Task[None] | None = None

    def drop(self, fault: ApiError | None = None) -> None:
        """Ends the request now, or before it has begun."""
        self.dropped, self.fault = True, self.fault or fault
        if self.task is not None:
            self.task.cancel()


class _Connection:
    """One client's unfinished requests. Each is answered by one `done` or one `error`."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._service = request.app[SPEECH]
        self._socket = socket
        self._queue: asyncio.Queue[_Turn] = asyncio.Queue()
        self._turns: list[_Turn] = []
        """The requests that are not yet answered, in order."""
        self._open: _Turn | None = None
        """The request whose text is still being written."""

    @property
    def idle(self) -> bool:
        """Tells whether every request has been answered."""
        return not self._turns

    async def receive(self, message: WSMessage) -> None:
        """Takes one message. An error in it is answered, and the connection stays open."""
        try:
            if message.type is not WSMsgType.TEXT:
                raise ApiError(400, "INVALID_REQUEST", "messages are JSON texts")
            self._take(message.data)
        except (ApiError, SpeechError) as error:
            await self._answer_fault(as_api_error(error))

    async def speak(self) -> None:
        """Speaks the requests one after the other, until cancelled."""
        while True:
            turn = await self._queue.get()
            try:
                await self._speak(turn)
            finally:
                self._turns.remove(turn)
                if turn.text is not None:
                    turn.text.end()

    def _take(self, data: str) -> None:
        message = parse_json(data, SocketMessage)
        if message.event == "cancel":
            self._open = None
            for turn in self._turns:
                turn.drop()
        if message.input is not None:
            self._end_text()
            self._append(self._job(data))
        elif message.input_delta is not None:
            self._add(message.input_delta, data)
        elif message.event is None:
            raise empty_input()
        if message.event == "flush":
            self._end_text()

    def _add(self, piece: str, data: str) -> None:
        """Adds a piece to the open text; the first piece opens one, and its message brings the other fields."""
        if self._open is None:
            fields = json.dumps({**json.loads(data), "input": "in pieces"})
            text = GrowingText()
            self._open = self._append(self._job(fields, text), text)
        turn = self._open
        assert turn.text is not None
        if not turn.dropped and (fault := self._service.too_long(turn.text.characters + len(piece))):
            turn.drop(fault)
        if not turn.dropped:
            turn.text.write(piece)

    def _end_text(self) -> None:
        turn, self._open = self._open, None
        if turn is not None and turn.text is not None:
            turn.text.end()

    def _job(self, data: str, text: GrowingText | None = None) -> SpeechJob:
        request = parse_json(data, SpeechRequest)
        if request.ref_audio:
            message = "a WebSocket takes no recording; store it by POST /v1/audio/voices/{name}, and name that voice"
            raise ApiError(400, "INVALID_REQUEST", message, param="ref_audio")
        return self._service.job(request, "pcm", text=text)

    def _append(self, job: SpeechJob, text: GrowingText | None = None) -> _Turn:
        if len(self._turns) >= MAX_TURNS:
            raise ApiError(503, "QUEUE_FULL", f"{MAX_TURNS} requests on this connection are not answered yet")
        turn = _Turn(job, text)
        self._turns.append(turn)
        self._queue.put_nowait(turn)
        return turn

    async def _speak(self, turn: _Turn) -> None:
        if not turn.dropped:
            turn.task = asyncio.create_task(self._send_audio(turn))
            try:
                await asyncio.wait([turn.task])
            finally:  # where this task was cancelled, the client is gone
                turn.task.cancel()
                await asyncio.gather(turn.task, return_exceptions=True)
            error = None if turn.task.cancelled() else turn.task.exception()
            if isinstance(error, Exception):
                turn.fault = as_api_error(error)
        if turn.fault is not None:
            return await self._answer_fault(turn.fault)
        style = turn.job.style
        await self._answer(
            {
                "event": "done",
                "cancelled": turn.dropped,
                "sample_rate": turn.job.sample_rate_hz,
                "voice": style.voice,
            }
        )
        return None

    async def _send_audio(self, turn: _Turn) -> None:
        account = Account(self._service, PATH, turn.job)
        pace = Pace(self._service.settings.slow_reader_timeout)
        try:
            async with self._service.synthesizer.speak(turn.job, self._request.remote or "", pace) as speech:
                account.first_audio(speech)
                async for block in speech.blocks:
                    account.sent_s += block.duration_s
                    if block.data:
                        await pace.send(self._socket.send_bytes(block.data), block.duration_s)
                    if block.words:
                        await self._answer({"event": "words", "words": described(block.words)})
            account.outcome = "ok"
        except SlowReader:
            account.outcome = "slow"
            drop(self._request.transport)
        except ConnectionResetError:
            pass  # gone; the receiving side is told so too and ends the connection
        except Exception as error:
            fault = as_api_error(error)
            account.outcome = fault.code
            raise fault from None
        finally:
            if turn.dropped:
                account.outcome = turn.fault.code if turn.fault is not None else "cancelled"
            if turn.text is not None:
                account.characters = turn.text.characters
            account.close(request=request_id(self._request))

    async def _answer_fault(self, fault: ApiError) -> None:
        await self._answer({"event": "error", "detail": fault.message, "code": fault.code})

    async def _answer(self, event: dict[str, Any]) -> None:
        if not self._socket.closed:
            try:
                await Pace(self._service.settings.slow_reader_timeout).send(self._socket.send_json(event), 0.0)
            except SlowReader:
                drop(self._request.transport)
