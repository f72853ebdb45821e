"""Speech recognition services as ASR_PROTOCOL meets them: real WebSocket servers that speak each one's wire format.

What they hear is scripted: the nth stretch of sound is the nth text, told word by word as its sound comes in. What they
are strict about is what the real ones are: paths, keys, parameters, order, and how long they wait for audio. And they
can be told to misbehave.
"""

from __future__ import annotations

import asyncio
import base64
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
KEY = "k"


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

    async def until(self, condition: Any, timeout_s: float = 10.0) -> None:
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


class OpenAiService(AsrService):
    """`/v1/realtime` of OpenAI in transcription mode, its own detector on."""

    name, path = "openai-realtime", "/v1/realtime"
    rate_hz = 24_000
    end_ms = 300

    def admit(self, request: web.Request) -> None:
        if dict(request.query) != {"intent": "transcription"}:
            raise web.HTTPBadRequest(text=str(dict(request.query)))

    async def opened(self, connection: Connection) -> None:
        await connection.tell({"type": "session.created", "event_id": "event_1", "session": {}})

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        match json.loads(text):
            case {"type": "session.update", "session": {"type": "transcription", "audio": {"input": told}}}:
                assert told["format"] == {"type": "audio/pcm", "rate": self.rate_hz}
                assert told["turn_detection"]["type"] == "server_vad"
            case {"type": "input_audio_buffer.append", "audio": str(audio)}:
                connection.texts.pop()
                await self._audio(connection, hearing, base64.b64decode(audio, validate=True))
            case event:
                raise AssertionError(f"unknown event: {event}")
        return False

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        before = hearing.words
        began, ended = hearing.push(pcm)
        buffer, item = "input_audio_buffer", {"item_id": f"item_{id(connection)}_{hearing.utterances}"}
        transcription = "conversation.item.input_audio_transcription"
        if began:
            await connection.tell({"type": f"{buffer}.speech_started", "audio_start_ms": hearing.started_ms, **item})
        if ended:
            await connection.tell({"type": f"{buffer}.speech_stopped", "audio_end_ms": hearing.stopped_ms, **item})
            await connection.tell({"type": f"{buffer}.committed", "previous_item_id": None, **item})
            text = hearing.final()
            await connection.tell({"type": f"{transcription}.completed", "transcript": text, **item})
        elif hearing.words != before:
            await connection.tell({"type": f"{transcription}.delta", "delta": hearing.words[len(before) :], **item})


class Qwen3AsrService(AsrService):
    """`/ws/transcribe`: a window that is recognised anew every 450 ms of audio; final upon `flush`."""

    name, path = "qwen3-asr", "/ws/transcribe"
    window_bytes = 14_400

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self._new_bytes = 0

    async def opened(self, connection: Connection) -> None:
        told = {"status": "connected", "sample_rate": 16_000, "format": "pcm_s16le", "buffer_size": self.window_bytes}
        await connection.tell(told)

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        match json.loads(text):
            case {"action": "config", "language": str(language)}:
                await connection.tell({"status": "configured", "language": language})
            case {"action": "flush"}:
                await _qwen3(connection, hearing.final(), final=True)
            case command:
                raise AssertionError(f"unknown action: {command}")
        return False

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        _, ended = hearing.push(pcm)
        self._new_bytes += len(pcm)
        if ended:
            await _qwen3(connection, hearing.final(), final=True)
        elif self._new_bytes >= self.window_bytes:
            self._new_bytes = 0
            if hearing.words:
                await _qwen3(connection, hearing.words, final=False)


class Qwen3AsrOwnDetector(Qwen3AsrService):
    """Its newer releases: they end an utterance themselves as well."""

    end_ms = 400


async def _qwen3(connection: Connection, text: str, *, final: bool) -> None:
    await connection.tell({"text": text, "is_partial": not final, "is_final": final})


class VllmService(AsrService):
    """`/v1/realtime` of vLLM: `commit` starts a generation, `commit final` ends it, what is queued then is lost."""

    name, path = "vllm-realtime", "/v1/realtime"
    settings = {"asr_model": "voxtral"}  # noqa: RUF012

    async def serve(self, connection: Connection) -> None:
        socket = connection.socket
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        generation: asyncio.Task[None] | None = None
        validated = False
        await connection.tell({"type": "session.created", "id": "sess-1", "created": 0})
        try:
            async for message in socket:
                event = json.loads(message.data)
                match event["type"]:
                    case "session.update":
                        connection.texts.append(event)
                        validated = event["model"] == self.settings["asr_model"]
                    case "input_audio_buffer.append":
                        pcm = base64.b64decode(event["audio"], validate=True)
                        assert pcm, "it cannot process empty audio"
                        assert len(pcm) % 2 == 0, "half a sample"
                        connection.audio += pcm
                        queue.put_nowait(pcm)
                    case "input_audio_buffer.commit":
                        connection.texts.append(event)
                        assert validated, "model not validated"
                        if event.get("final"):
                            queue.put_nowait(None)
                        else:
                            assert generation is None or generation.done(), "a commit in a generation is ignored"
                            generation = asyncio.create_task(self._generate(connection, queue))
                    case other:
                        raise AssertionError(f"unknown event: {other}")
                self.changed.set()
        finally:
            if generation is not None:
                generation.cancel()
                await asyncio.gather(generation, return_exceptions=True)

    async def _generate(self, connection: Connection, queue: asyncio.Queue[bytes | None]) -> None:
        hearing, told = Hearing(self), ""
        while (pcm := await queue.get()) is not None:
            hearing.push(pcm)
            words = hearing.words
            await connection.tell({"type": "transcription.delta", "delta": words[len(told) :]})
            told = words
        text = hearing.final()
        await connection.tell({"type": "transcription.delta", "delta": text[len(told) :]})
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        await connection.tell({"type": "transcription.done", "text": text, "usage": usage})
        while not queue.empty():
            queue.get_nowait()


class DeepgramService(AsrService):
    """`/v1/listen`: key and format in the request; hangs up on who sends neither audio nor KeepAlive."""

    name, path = "deepgram", "/v1/listen"
    settings = {"asr_api_key": KEY, "asr_model": "nova-3", "asr_language": "en"}  # noqa: RUF012
    end_ms = 300
    patience_s = 10.0
    query = {  # noqa: RUF012
        "encoding": "linear16", "sample_rate": "16000", "channels": "1", "model": "nova-3", "language": "en",
        "interim_results": "true", "vad_events": "true", "endpointing": "300", "utterance_end_ms": "1000",
        "punctuate": "true",
    }  # fmt: skip

    def admit(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Token {KEY}":
            raise web.HTTPUnauthorized
        if dict(request.query) != self.query:
            raise web.HTTPBadRequest(text=str(dict(request.query)))

    async def serve(self, connection: Connection) -> None:
        watch = asyncio.create_task(self._lose_patience(connection))
        try:
            await super().serve(connection)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _lose_patience(self, connection: Connection) -> None:
        while True:
            before = len(connection.audio) + len(connection.texts)
            await asyncio.sleep(self.patience_s)
            if len(connection.audio) + len(connection.texts) == before:
                await connection.socket.close(code=1011, message=b"NET-0001")
                return

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        match json.loads(text):
            case {"type": "KeepAlive"}:
                return False
            case {"type": "Finalize"}:
                await self._results(connection, hearing, hearing.final(), final=True, from_finalize=True)
                return False
            case {"type": "CloseStream"}:
                await connection.tell({"type": "Metadata", "request_id": "r", "duration": 0.0})
                return True
        raise AssertionError(f"unknown message: {text}")

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        before = hearing.words
        began, ended = hearing.push(pcm)
        if began:
            assert hearing.started_ms is not None
            started = {"type": "SpeechStarted", "channel": [0], "timestamp": hearing.started_ms / 1000}
            await connection.tell(started)
        if ended:
            await self._results(connection, hearing, hearing.final(), final=True, speech_final=True)
        elif hearing.words != before:
            await self._results(connection, hearing, hearing.words)

    async def _results(
        self, connection: Connection, hearing: Hearing, text: str, *, final: bool = False, **flags: bool
    ) -> None:
        start_ms = hearing.started_ms or hearing.stopped_ms
        results = {"type": "Results", "channel_index": [0, 1], "start": start_ms / 1000,
                   "duration": (hearing.at_ms - start_ms) / 1000, "is_final": final, "speech_final": False,
                   "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": []}]}}  # fmt: skip
        await connection.tell(results | flags)


class FluxService(DeepgramService):
    """`/v2/listen`: it decides on turns; a turn's window begins where the last turn ended."""

    path = "/v2/listen"
    settings = {"asr_api_key": KEY, "asr_model": "flux-general-en"}  # noqa: RUF012
    query = {"encoding": "linear16", "sample_rate": "16000", "model": "flux-general-en"}  # noqa: RUF012

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self._turn_start_ms = 0

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        assert json.loads(text) == {"type": "CloseStream"}, f"Flux knows no message {text}"
        return True

    async def opened(self, connection: Connection) -> None:
        self._turn_start_ms = 0
        await connection.tell({"type": "Connected", "request_id": "r", "sequence_id": 0})

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        before = hearing.words
        _, ended = hearing.push(pcm)
        if ended:
            await self._turn(connection, hearing, "EndOfTurn", hearing.final())
            self._turn_start_ms = hearing.at_ms
        elif hearing.words != before:
            await self._turn(connection, hearing, "Update" if before else "StartOfTurn", hearing.words)

    async def _turn(self, connection: Connection, hearing: Hearing, event: str, text: str) -> None:
        told = {"type": "TurnInfo", "request_id": "r", "sequence_id": 1, "event": event, "turn_index": 0,
                "audio_window_start": self._turn_start_ms / 1000, "audio_window_end": hearing.at_ms / 1000,
                "transcript": text, "words": [{"word": word, "confidence": 0.9} for word in text.split()],
                "end_of_turn_confidence": 0.5}  # fmt: skip
        await connection.tell(told)


class VoskService(AsrService):
    """vosk-server: an answer to every message; ends utterances itself; closes on its eof, compared as text."""

    name, path = "vosk", "/"
    end_ms = 500

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        if text == '{"eof" : 1}':
            await connection.tell({"result": [], "text": hearing.final()})
            return True
        assert "config" in text
        assert json.loads(text)["config"]["sample_rate"] == self.rate_hz
        return False

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        _, ended = hearing.push(pcm)
        if ended:
            await connection.tell({"result": [], "text": hearing.final().lower().rstrip(".?")})
        else:
            await connection.tell({"partial": hearing.words.lower().rstrip(".?")})


SERVICES: list[type[AsrService]] = [
    OpenAiService,
    Qwen3AsrService,
    Qwen3AsrOwnDetector,
    VllmService,
    DeepgramService,
    FluxService,
    VoskService,
]
