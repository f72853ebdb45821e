"""Keeps one call's recogniser connected: it sends audio from a bounded backlog, reads events, and connects again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import aiohttp
import structlog
from pydantic import SecretStr

from bridge.hearing.asr.backlog import Backlog
from bridge.hearing.asr.protocol import AsrOptions, AsrProtocol, Message, ServiceError, SessionLost
from bridge.hearing.events import BadEvent, Heard, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.masking import Masker, masked_url, secrets_of
from engine.audio import RateConverter
from engine.speech import Priority
from engine.web.inbox import Inbox

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 2.0
CLOSE_TIMEOUT_S: Final = 0.5
"""How long a service has to close its side of a connection."""
HEARTBEAT_S: Final = 5.0
"""The time between pings. A service that answers none within half of it has hung, and is connected to anew."""
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
STEADY_S: Final = 2.0
"""A connection that ends sooner and shows no sign of recognition does not count: the service has been down since before
it."""
MAX_MESSAGE_BYTES: Final = 1 << 18
"""The longest message taken. No transcript is as long; a service that sends more is disconnected."""
MESSAGES_PER_S: Final = 100
"""How many messages are taken. A service that tells every word and every 50 ms of speech sends fewer."""
BAD_MESSAGES: Final = 20
"""The number of messages in a row that cannot be read or report an error, after which the connection is given up."""
LOGGED_CHARS: Final = 200
"""How much of a service's error text is logged."""


class AsrClient:
    """One call's recogniser at a service. `push` takes the caller's audio, gaps filled, from the answer on."""

    def __init__(
        self,
        protocol: type[AsrProtocol],
        url: str,
        options: AsrOptions,
        http: aiohttp.ClientSession,
        on_heard: Callable[[Heard], object],
        *,
        call_id: str = "",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = protocol
        self._url = url
        self._options = options
        self._http = http
        self._on_heard = on_heard
        self._now_s = now_s
        self._call_id = call_id
        self._log = log.bind(call=call_id)
        self._mask = Masker(secrets_of({"api_key": SecretStr(options.api_key), "asr_url": url}))
        self.rate_hz = options.sample_rate_hz or protocol.default_rate_hz
        self.speech_events = protocol.speech_events
        self.down_since_s: float | None = now_s()
        """When the connection was lost; None while there is one."""
        self.heard_s = now_s()
        """When the service last showed that it listens: by a transcript, even an empty one, or by speech events."""
        self._chunk_bytes = self.rate_hz * protocol.chunk_ms // 1000 * 2
        self.backlog = Backlog(protocol.chunk_ms)
        self._converter = RateConverter(self.rate_hz)
        self._partial_chunk = bytearray()
        self._ready = asyncio.Event()
        self._flush = False
        self._protocol: AsrProtocol | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._closing: asyncio.Task[bool] | None = None
        self._switching = False
        """True while a connection ends because another language is to be recognised."""
        self._speech = False
        self._last_partial = ""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, 16-bit little-endian mono."""
        self._partial_chunk += self._converter.push(pcm, rate_hz).tobytes()
        while len(self._partial_chunk) >= self._chunk_bytes:
            self.backlog.put(bytes(self._partial_chunk[: self._chunk_bytes]))
            del self._partial_chunk[: self._chunk_bytes]
            self._ready.set()

    def flush(self) -> None:
        """Asks for the final transcript, because the local detector has heard the caller stop."""
        self._flush = True
        self._ready.set()

    def listen_in(self, language: str) -> None:
        """Connects anew with another language, unless it is the same; what was not recognised yet is sent again."""
        if (language or None) == self._options.language:
            return
        self._options = replace(self._options, language=language or None)
        if self._socket is not None:
            self._switching = True
            self._closing = asyncio.get_running_loop().create_task(self._socket.close())

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        failures = 0
        while True:
            down_since_s, tried_s = self.down_since_s, self._now_s()
            try:
                connected_s = await self._connection()
                failures = 0 if connected_s > BACKOFF_S[-1] or self._switching else failures + 1
                self._switching = False
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failures += 1
                self._log.warning(
                    "recogniser cannot be reached", url=masked_url(self._url), error=self._mask(_problem(error))
                )
            now_s = self._now_s()
            steady = now_s - tried_s >= STEADY_S or self.heard_s >= tried_s
            self.down_since_s = now_s if steady and self.down_since_s is None else down_since_s
            if self.backlog.rewind():
                self._flush = True
            self._ready.set()
            if self._speech:  # nobody will tell us when it ends
                self._speech = False
                self._on_heard(SpeechStopped())
            wait_s = BACKOFF_S[min(failures, len(BACKOFF_S)) - 1] if failures else 0.0
            await asyncio.sleep(wait_s * random.uniform(0.75, 1.25))

    async def _connection(self) -> float:
        """Runs one connection from its opening to its end; returns how many seconds it lasted."""
        protocol = self._make(self._options, self.backlog.position_ms)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await self._http.ws_connect(
                protocol.url(self._url),
                headers={"X-Call-Id": self._call_id, **protocol.headers()},
                heartbeat=HEARTBEAT_S,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                autoping=False,
            )
        since_s = self._now_s()
        self._protocol, self._socket = protocol, socket
        async with socket:
            if protocol.options is not self._options:  # the language was changed meanwhile
                self._protocol, self._socket, self._switching = None, None, True
                return 0.0
            sender = asyncio.create_task(self._send(socket, protocol))
            try:
                self.down_since_s = None
                await self._receive(socket, protocol)
            finally:
                self._protocol = self._socket = None
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
                with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        for message in protocol.closing():
                            await _send(socket, message)
        if not self._switching:
            self._log.warning("recogniser closed the connection", url=masked_url(self._url), code=socket.close_code)
        return self._now_s() - since_s

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, protocol: AsrProtocol) -> None:
        try:
            for message in protocol.opening():
                await _send(socket, message)
            while True:
                await self._ready.wait()
                self._ready.clear()
                while (chunk := self.backlog.take()) is not None:
                    for message in protocol.audio(chunk):
                        await _send(socket, message)
                if self._flush:
                    self._flush = False
                    asked = protocol.flush()
                    if asked and not self.speech_events:
                        self.backlog.speech_ended()
                    for message in asked:
                        await _send(socket, message)
        except (aiohttp.ClientError, OSError):
            await socket.close()  # the receiver sees it and ends the connection

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse, protocol: AsrProtocol) -> None:
        bad = 0
        inbox = Inbox(socket, MESSAGES_PER_S, Priority.CALL)
        while (message := await inbox.next()) is not None:
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                continue
            try:
                read = protocol.read(message.data)
            except (BadEvent, ServiceError) as error:
                bad += 1
                if bad == 1:
                    did = "reports an error" if isinstance(error, ServiceError) else "sent what we cannot read"
                    self._log.warning(f"recogniser {did}", error=self._mask(str(error))[:LOGGED_CHARS])
                if bad >= BAD_MESSAGES or isinstance(error, SessionLost):
                    return
                continue
            if read is None:
                continue
            self.heard_s, bad = self._now_s(), 0
            events, replies = read
            for event in events:
                self._hear(event)
            for reply in replies:
                await _send(socket, reply)

    def _hear(self, event: Heard) -> None:
        if isinstance(event, SpeechStarted):
            self._speech = True
        elif isinstance(event, SpeechStopped):
            self._speech = False
            self.backlog.speech_ended()
        elif isinstance(event, Transcript):
            self.backlog.answered()
        if isinstance(event, Partial):
            if event.text == self._last_partial:
                return
            self._last_partial = event.text
        else:
            self._last_partial = ""
        self._on_heard(event)


def _problem(error: Exception) -> str:
    """Returns what went wrong, without the address, in which there may be secrets."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return str(error) or repr(error)


async def _send(socket: aiohttp.ClientWebSocketResponse, message: Message) -> None:
    if isinstance(message, str):
        await socket.send_str(message)
    else:
        await socket.send_bytes(message)
