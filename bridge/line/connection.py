"""One call's TCP connection: what comes is taken to its call, a frame leaves at each tick, and the end is graceful."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, cast
from uuid import UUID

import structlog

from bridge.line.audiosocket import FRAME_MS, KIND_OF_RATE, RATE_HZ, Decoder, Kind, Message, encode
from bridge.line.call import CALLER_HUNG_UP, LOST, Call
from bridge.line.intake import Intake
from bridge.line.socket_options import set_socket_options

if TYPE_CHECKING:
    from bridge.line.server import AudioSocketServer

log = structlog.get_logger(__name__)

UUID_DEADLINE_S: Final = 1.0
"""How long to wait for the UUID. Asterisk sends it as it connects; what has not by then is a port scan or a health
check."""
CLOSE_DEADLINE_S: Final = 1.0
"""How long to read on for Asterisk's EOF after our hang-up. To close with audio unread would reset the connection, and
Asterisk would drop the caller."""
STALL_DEADLINE_S: Final = 5.0
"""How long a peer may take no byte before it counts as gone or hung."""
TURN_MESSAGES: Final = 100
"""The number of messages taken from one connection in a turn of the event loop, so that the others are served."""
REST_S: Final = FRAME_MS / 1000
"""How long nothing is read from a peer that has sent more than is taken in."""

HANGUP: Final = encode(Kind.HANGUP)
_SILENCE: Final = encode(Kind.SLIN8, bytes(320))


class CallRefused(Exception):
    """The call is not taken; the message says why."""


class MessageDecoder(Protocol):
    """Cuts a byte stream into messages."""

    def feed(self, data: bytes, most: int | None = None) -> Iterable[Message]:
        """Gives the messages that `data` completes, in order, and keeps those after the first `most` for later."""


class Connection(asyncio.Protocol):
    """One TCP connection. It sends silence from the start, carries a call once its UUID has come, and ends so that the
    caller stays with Asterisk."""

    goodbye = HANGUP
    """What gives the call back to the dialplan."""
    silence = _SILENCE
    """What is sent every 20 ms until there is a call."""

    def __init__(self, server: AudioSocketServer, decoder: MessageDecoder | None = None) -> None:
        self._server = server
        self._decoder = decoder or Decoder()
        self._intake = Intake(time.monotonic())
        self._rest: asyncio.TimerHandle | None = None
        self._call: Call | None = None
        self._ignored: set[int] = set()
        self._told = False
        """It has been logged that the peer sends too much."""
        self._closing = False
        self._end_reason = CALLER_HUNG_UP
        self._stalled_since_s: float | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._held: list[Message] = []
        """What came while it was looked up what is known of the call."""

    # asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._server.unnamed >= self._server.max_unnamed:
            self._transport.set_protocol(asyncio.Protocol())
            self._transport.write(self.goodbye)
            self._transport.close()
            self._closing = True  # what came before is given to it all the same
            return
        self._transport.set_write_buffer_limits(high=0)
        set_socket_options(self._transport.get_extra_info("socket"))
        self._deadline = asyncio.get_running_loop().call_later(UUID_DEADLINE_S, self._no_uuid)
        self._server.joined(self, self._tick)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return  # we read on only so that Asterisk's audio does not turn our close into a reset
        now_s, too_much, messages = time.monotonic(), False, 0
        for message in self._decoder.feed(data, TURN_MESSAGES):
            messages += 1
            if self._closing:
                return
            if self._intake.takes(message, now_s):
                self._message(message)
            else:
                too_much = True
        if too_much or messages == TURN_MESSAGES:
            self._transport.pause_reading()
            self._rest = asyncio.get_running_loop().call_later(REST_S, self._read_on)
            if too_much and not self._told:
                self._told = True
                log.warning("the peer sends more than is taken in", call=self._name())

    def eof_received(self) -> bool:
        return False  # close our side too

    def connection_lost(self, error: Exception | None) -> None:
        self._server.clock.leave(self._tick)
        self._server.left(self)
        for timer in (self._deadline, self._rest):
            if timer is not None:
                timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if self._call is not None:
            if error is not None and not isinstance(error, ConnectionError):  # a reset is a hang-up in a hurry
                self._end_reason = f"{LOST}{error}"
            self._call.end(self._end_reason)

    def pause_writing(self) -> None:
        self._stalled_since_s = time.monotonic()

    def resume_writing(self) -> None:
        self._stalled_since_s = None

    # bridge.line.call.Wire -------------------------------------------------------------------------------------------

    def send(self, pcm: bytes, rate_hz: int) -> None:
        self._transport.write(encode(KIND_OF_RATE[rate_hz], pcm))

    def take_back(self) -> int:
        return 0  # Asterisk plays what it gets at once

    def hang_up(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._end_reason = "hung up"
        self._server.clock.leave(self._tick)
        self._transport.write(self.goodbye)
        self._deadline = asyncio.get_running_loop().call_later(CLOSE_DEADLINE_S, self._close)

    # Its own ----------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Closes, and later drops a peer that takes nothing, for which the transport would wait without end."""
        self._transport.close()
        self._deadline = asyncio.get_running_loop().call_later(STALL_DEADLINE_S, self._transport.abort)

    def _read_on(self) -> None:
        """Takes what was left, and reads again unless that is too much once more."""
        self._transport.resume_reading()
        self.data_received(b"")

    def _tick(self, now_s: float) -> None:
        if self._stalled_since_s is not None:
            # Nothing is queued for a peer that does not read: it would be late, and the position would lie.
            if now_s - self._stalled_since_s > STALL_DEADLINE_S:
                log.warning("peer stopped reading", call=self._name())
                self._end_reason = f"{LOST}stopped reading"
                self._transport.abort()
        elif self._call is not None:
            try:
                self._call.tick(now_s)
            except Exception:  # better no call than one in which nothing is heard any more
                log.exception("a call's tick failed; it goes back to its dialplan", call=self._name())
                self.hang_up()
                self._end_reason = "failed"
        else:
            self._transport.write(self.silence)

    def _message(self, message: Message) -> None:
        kind, payload = message
        if self._looking is not None:
            self._held.append(message)
        elif self._call is None:
            self._admit(message)
        elif kind in RATE_HZ:
            self._call.audio_received(kind, payload)
        elif kind == Kind.DTMF and len(payload) == 1 and payload.isascii():
            self._call.dtmf_received(payload.decode())
        elif kind == Kind.HANGUP:
            self._transport.close()
        elif kind not in self._ignored:
            self._ignored.add(kind)
            log.warning("messages of this kind are ignored", call=self._name(), kind=f"0x{kind:02x}")

    def _admit(self, message: Message) -> None:
        if message.kind != Kind.UUID or len(message.payload) != 16:
            self._server.strangers.write(
                log.warning,
                "connection does not speak AudioSocket",
                kind=f"0x{message.kind:02x}",
                bytes=len(message.payload),
            )
            self._transport.close()
        else:
            self._take(UUID(bytes=message.payload))

    def _take(self, call_id: UUID) -> None:
        """Has a call made of this connection, or gives the caller back at once."""
        assert self._deadline is not None
        self._deadline.cancel()
        if (waiting := self._server.prepare(call_id)) is None:
            self._begin(call_id)
        else:
            self._looking = asyncio.get_running_loop().create_task(self._look_up(call_id, waiting))

    async def _look_up(self, call_id: UUID, waiting: Awaitable[None]) -> None:
        try:
            await waiting
            self._looking = None
            held, self._held = self._held, []
            self._begin(call_id)
            for message in held:
                if not self._closing:
                    self._message(message)
        except Exception:
            log.exception("a call could not begin; it goes back to its dialplan", call=str(call_id))
            self._transport.abort()

    def _begin(self, call_id: UUID) -> None:
        try:
            self._call = self._server.admit(call_id, self)
        except CallRefused as refusal:
            self._server.strangers.write(log.warning, "call refused", call=str(call_id), reason=str(refusal))
            self.hang_up()

    def _no_uuid(self) -> None:
        self._server.strangers.write(log.info, "connection sent no UUID")
        self._transport.close()

    @property
    def named(self) -> bool:
        """Tells whether its UUID has come and a call was made of it."""
        return self._call is not None

    def _name(self) -> str:
        return str(self._call.id) if self._call is not None else "none"

    def finish(self) -> None:
        """Lets the call, if there is one, finish what it is saying."""
        if self._call is not None:
            self._call.hang_up()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()
