"""A recognition service: a WebSocket server that hears a script, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

LOUD = 400
"""Peak of 32768 above which 20 ms are sound."""
ONSET_MS = 60
WORD_MS = 200
"""Sound that makes a word."""
SLOW_S = 1.5
RUBBISH: dict[str, str | bytes] = {
    "half json": '{"type": "input_audio_buffer.speech_st',
    "binary": bytes(range(256)),
    "unknown": '{"type": "weather.changed", "text": 5}',
    "nonsense": '{"type": "input_audio_buffer.speech_started", "audio_start_ms": "soon"}',
    "deep": "[" * 100_000,
    "huge": "x" * (1 << 20),
}
"""What one may get instead of an event."""


@dataclass
class Connection:
    """One client's, and all that it has sent."""

    socket: web.WebSocketResponse
    request: web.Request
    texts: list[Any] = field(default_factory=list)
    """Text messages, decoded."""
    audio: bytearray = field(default_factory=bytearray)
    """16-bit little-endian mono, as it arrived."""
    fault: str = ""
    """`hang`: says nothing more. `slow`: everything late. One of RUBBISH: that instead of all it has to say.
    `noise`: that and rubbish."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    async def tell(self, event: dict[str, Any]) -> None:
        """Say this, as far as it is up to it."""
        match self.fault:
            case "hang":
                return
            case "slow":
                task = asyncio.create_task(self._tell_late(event))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                return
            case "noise":
                for name in ("half json", "binary", "unknown", "nonsense", "deep"):
                    await self._send(RUBBISH[name])
            case name if name in RUBBISH:
                await self._send(RUBBISH[name])
                return
        await self.socket.send_json(event)

    async def _tell_late(self, event: dict[str, Any]) -> None:
        await asyncio.sleep(SLOW_S)
        with suppress(ConnectionError):
            await self.socket.send_json(event)

    async def _send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self.socket.send_str(message)
        else:
            await self.socket.send_bytes(message)

    def abort(self) -> None:
        """As the kernel does for a process that is killed: no closing handshake."""
        transport = self.request.transport
        assert transport is not None
        transport.abort()


class AsrService:
    """`url` while it runs. Subclasses speak a protocol; `connections` is every client there was."""

    name: str
    """What ASR_PROTOCOL calls it."""
    path: str
    rate_hz = 16_000
    settings: dict[str, str] = {}  # noqa: RUF012
    """More that the client has to be told."""
    end_ms: int | None = None
    """Silence after which it ends an utterance itself; None: it does not."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.url = ""
        self.connections: list[Connection] = []
        self.changed = asyncio.Event()
        """Set by whatever comes in."""
        self.refuses = False
        self._texts = list(texts)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> AsrService:
        app = web.Application()
        app.router.add_get(self.path, self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, condition: Any, timeout_s: float = 30.0) -> None:
        """Wait until `condition`, looked at whenever something comes in, is true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuses:
            raise web.HTTPServiceUnavailable
        self.admit(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.append(connection)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self.serve(connection)
        finally:
            connection.over.set()
            self.changed.set()
        return socket

    def admit(self, request: web.Request) -> None:
        """Raises an HTTP error for whom it does not serve."""

    async def serve(self, connection: Connection) -> None:
        hearing = Hearing(self)
        await self.opened(connection)
        async for message in connection.socket:
            if message.type is WSMsgType.BINARY:
                await self._audio(connection, hearing, message.data)
            elif message.type is WSMsgType.TEXT:
                connection.texts.append(json.loads(message.data))
                self.changed.set()
                if await self.text(connection, hearing, message.data):
                    await connection.socket.close()

    async def _audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        assert len(pcm) % 2 == 0, "half a sample"
        connection.audio += pcm
        self.changed.set()
        await self.audio(connection, hearing, pcm)

    async def opened(self, connection: Connection) -> None:
        """What it says first."""

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        """A text message; returns whether it closes upon it."""
        raise AssertionError(f"{self.name} gets no text message like {text}")

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        raise NotImplementedError

    def script(self) -> list[str]:
        """The words of the utterance of now."""
        return self._texts[0].split() if self._texts else []

    def told(self) -> None:
        """Its final transcript is out. After the last text comes the first."""
        self._texts.append(self._texts.pop(0))


class Hearing:
    """Sound to words."""

    def __init__(self, service: AsrService) -> None:
        self.at_ms = 0
        self.started_ms: int | None = None
        self.stopped_ms = 0
        """Where the last sound ended."""
        self.utterances = 0
        self._service = service
        self._rest = b""
        self._loud_ms = 0

    @property
    def words(self) -> str:
        """Told so far."""
        return " ".join(self._service.script()[: self._loud_ms // WORD_MS]) if self.started_ms is not None else ""

    def push(self, pcm: bytes) -> tuple[bool, bool]:
        """Returns whether an utterance began with this, and whether one ended."""
        began = ended = False
        window = self._service.rate_hz // 50 * 2
        self._rest += pcm
        while len(self._rest) >= window:
            samples, self._rest = np.frombuffer(self._rest[:window], "<i2"), self._rest[window:]
            self.at_ms += 20
            if int(np.abs(samples.astype(np.int32)).max()) > LOUD:
                self._loud_ms, self.stopped_ms = self._loud_ms + 20, self.at_ms
                if self.started_ms is None and self._loud_ms >= ONSET_MS:
                    self.started_ms, began = self.at_ms - ONSET_MS, True
            elif self.started_ms is None:
                self._loud_ms = 0
            end_ms = self._service.end_ms
            if self.started_ms is not None and end_ms is not None and self.at_ms - self.stopped_ms >= end_ms:
                ended = True
        return began, ended

    def final(self) -> str:
        """The utterance is over: all of its words, none if there was no sound."""
        text = " ".join(self._service.script()) if self.started_ms is not None else ""
        if text:
            self._service.told()
        self.started_ms, self._loud_ms = None, 0
        self.utterances += 1
        return text
