"""One call's connection to a speech-to-speech service: it sends the caller's sound, and passes on what comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import structlog
from pydantic import SecretStr

from bridge.hearing.events import BadEvent
from bridge.masking import Masker, masked_url, secrets_of
from bridge.realtime import protocol
from bridge.realtime.protocol import RATE_HZ, Event, Message, Ready, RealtimeOptions, Refusal
from engine.audio import RateConverter
from engine.speech import Priority
from engine.web.inbox import Inbox

log = structlog.get_logger(__name__)

CHUNK_BYTES: Final = RATE_HZ // 50 * 2
"""20 ms, so that the service hears the caller as soon as we do."""
MAX_WAITING: Final = 250
"""How many messages with sound may wait for a service that does not read, five seconds; then the oldest are lost."""
MAX_MESSAGES: Final = 1_000
"""How many messages of any kind may wait. A service that makes us send more, and does not read them, is given up."""
HEARTBEAT_S: Final = 5.0
"""The time between pings. A service that answers none within half of it has hung."""
CLOSE_S: Final = 0.5
MAX_MESSAGE_BYTES: Final = 1 << 18
"""The longest message taken: some four seconds of sound."""
MESSAGES_PER_S: Final = 1_000
"""How many KiB of messages are taken a second: ten times what speech needs."""
BAD_MESSAGES: Final = 20
"""The number of messages in a row that cannot be read, after which the connection is given up."""
LOGGED_CHARS: Final = 200


class LinkLost(Exception):
    """The service is gone, or of no use. The text is meant for an administrator."""


class RealtimeLink:
    """The connection. `run` lasts as long as it does; what the service knows of the call is lost with it."""

    def __init__(
        self,
        options: RealtimeOptions,
        http: aiohttp.ClientSession,
        on_event: Callable[[Event], object],
        *,
        call_id: str = "",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._http = http
        self._on_event = on_event
        self._call_id = call_id
        self._now_s = now_s
        self._log = log.bind(call=call_id)
        self._mask = Masker(secrets_of({"key": SecretStr(options.api_key), "realtime_url": options.url}))
        self._converter = RateConverter(RATE_HZ)
        self._chunk = bytearray()
        self._outbox: deque[Message | bytes] = deque()
        """What is to be sent: messages, and the caller's sound, in order."""
        self._sound_waiting = 0
        self._more = asyncio.Event()

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, 16-bit little-endian mono, without gaps."""
        self._chunk += self._converter.push(pcm, rate_hz).tobytes()
        while len(self._chunk) >= CHUNK_BYTES:
            self._outbox.append(bytes(self._chunk[:CHUNK_BYTES]))
            del self._chunk[:CHUNK_BYTES]
            self._sound_waiting += 1
            self._more.set()
        if self._sound_waiting > MAX_WAITING:
            self._outbox.remove(next(waiting for waiting in self._outbox if isinstance(waiting, bytes)))
            self._sound_waiting -= 1

    def send(self, message: Message) -> None:
        """Sends a message after all before it."""
        self._outbox.append(message)
        self._more.set()

    async def run(self, instructions: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """Connects and passes on what comes until the connection is lost. Raises LinkLost."""
        try:
            async with asyncio.timeout(self._options.timeout_ms / 1000):
                socket = await self._http.ws_connect(
                    protocol.address(self._options),
                    headers={"X-Call-Id": self._call_id, **protocol.headers(self._options)},
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                    autoping=False,
                )
        except TimeoutError:
            raise LinkLost(f"no connection within {self._options.timeout_ms} ms") from None
        except aiohttp.WSServerHandshakeError as error:
            raise LinkLost(f"{masked_url(self._options.url)}: HTTP {error.status}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise LinkLost(f"{masked_url(self._options.url)}: {self._mask(str(error) or repr(error))}") from None
        async with socket:
            sender = asyncio.create_task(self._send(socket, protocol.opening(self._options, instructions, tools)))
            try:
                await self._receive(socket)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
        raise LinkLost(f"the connection was closed (code {socket.close_code})")

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, opening: Message) -> None:
        try:
            await socket.send_str(json.dumps(opening))
            while True:
                await self._more.wait()
                self._more.clear()
                while self._outbox:
                    waiting = self._outbox.popleft()
                    if isinstance(waiting, bytes):
                        self._sound_waiting -= 1
                        waiting = protocol.append(waiting)
                    await socket.send_str(json.dumps(waiting))
        except (aiohttp.ClientError, OSError):
            with contextlib.suppress(Exception):
                await socket.close()  # the receiver sees it

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        inbox, bad, ready = Inbox(socket, MESSAGES_PER_S, Priority.CALL), 0, False
        until_s = self._now_s() + self._options.timeout_ms / 1000
        while True:
            try:
                message = await inbox.next(None if ready else max(until_s - self._now_s(), 0.01))
            except TimeoutError:
                raise LinkLost(f"no session within {self._options.timeout_ms} ms") from None
            if message is None:
                return
            try:
                event = protocol.read(message.data)
            except BadEvent as error:
                bad += 1
                if bad == 1:
                    self._log.warning("realtime service sent what we cannot read", error=str(error)[:LOGGED_CHARS])
                if bad >= BAD_MESSAGES:
                    raise LinkLost(f"{bad} messages in a row that cannot be read") from None
                continue
            bad = 0
            if isinstance(event, Refusal):
                text = self._mask(event.text)[:LOGGED_CHARS]
                if not ready:
                    raise LinkLost(f"it refuses the session: {text}")
                self._log.warning("realtime service reports an error", error=text)
            ready = ready or isinstance(event, Ready)
            if event is not None:
                self._on_event(event)
            if len(self._outbox) > MAX_MESSAGES:
                raise LinkLost(f"it does not read: {MAX_MESSAGES} messages wait")
