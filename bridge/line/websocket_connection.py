"""One call's WebSocket from Asterisk: the same call as over AudioSocket, on the same clock, within the same limits."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from uuid import UUID

import structlog

from bridge.line.asterisk_queue import AsteriskQueue
from bridge.line.audiosocket import Kind, Message
from bridge.line.call import LOST
from bridge.line.connection import Connection
from bridge.line.server import AudioSocketServer
from bridge.line.websocket import (
    RATE_OF_FORMAT,
    Control,
    Decoder,
    Opcode,
    WrongBytes,
    command,
    encode,
    read_event,
)

log = structlog.get_logger(__name__)

END_S: Final = 0.5
"""How long Asterisk has to play what it holds before we hang up."""
EVENT_BYTES: Final = 1_024
"""The longest event that is read in a call. Only the first, with the channel's variables, is longer."""
PROTOCOL_ERROR: Final = (1002).to_bytes(2, "big")


class WebSocketConnection(Connection):
    """Takes over a connection once it has been upgraded. Its call begins with Asterisk's MEDIA_START."""

    goodbye = command("HANGUP")
    silence = b""

    def __init__(self, server: AudioSocketServer, call_id: UUID) -> None:
        self._frames = Decoder()
        super().__init__(server, self._frames)
        self._call_id = call_id
        self._queue = AsteriskQueue()
        self._ending = False

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except WrongBytes as error:
            self._server.strangers.write(log.warning, "not Asterisk's WebSocket", call=self._name(), reason=str(error))
            self._end_reason = f"{LOST}{error}"
            self._transport.write(encode(Opcode.CLOSE, PROTOCOL_ERROR))
            self._transport.close()
            self._closing = True

    # bridge.line.call.Wire -------------------------------------------------------------------------------------------

    def send(self, pcm: bytes, rate_hz: int) -> None:
        if data := self._queue.write(pcm):
            self._transport.write(data)

    def take_back(self) -> int:
        if self._closing or self._transport.is_closing():
            return 0
        flush, held_ms = self._queue.flush()
        self._transport.write(flush)
        return held_ms

    def hang_up(self) -> None:
        """Waits until Asterisk has played what it holds, then gives the call back; a second time, at once."""
        if self._call is None or self._ending:
            super().hang_up()
            return
        self._ending = True
        self._end_reason = "hung up"
        self._server.clock.leave(self._tick)
        self._transport.write(self._queue.end())
        self._deadline = asyncio.get_running_loop().call_later(END_S, self._give_back)

    # Its own ----------------------------------------------------------------------------------------------------

    def _admit(self, message: Message) -> None:
        event = self._event(message) if message.kind == Control.TEXT else {}
        rate_hz = RATE_OF_FORMAT.get(str(event.get("format")))
        if event.get("event") != "MEDIA_START" or rate_hz is None:
            came = f"{event.get('event')} with {event.get('format')}"[:100]
            raise WrongBytes(f"the first message must be MEDIA_START, with c(slin) and f(json), but is {came}")
        self._frames.rate_hz = rate_hz
        self._take(self._call_id)

    def _begin(self, call_id: UUID) -> None:
        super()._begin(call_id)
        if self._call is not None:
            self._call.rate_told(self._frames.rate_hz)

    def _message(self, message: Message) -> None:
        if message.kind == Control.TEXT and self._call is not None:
            self._tell(self._event(message))
        elif message.kind == Control.PING:
            self._transport.write(encode(Opcode.PONG, message.payload))
        elif message.kind == Kind.HANGUP:
            self._transport.write(encode(Opcode.CLOSE, message.payload[:2]))
            self._transport.close()
        elif message.kind != Control.PONG:
            super()._message(message)

    def _event(self, message: Message) -> dict[str, Any]:
        if self._call is not None and len(message.payload) > EVENT_BYTES:
            raise WrongBytes(f"an event of {len(message.payload)} bytes")
        return read_event(message.payload)

    def _give_back(self) -> None:
        reason = self._end_reason  # "failed", where the call's tick has
        super().hang_up()
        self._end_reason = reason

    def _tell(self, event: dict[str, Any]) -> None:
        name = event["event"]
        if name == "MEDIA_MARK_PROCESSED":
            if self._queue.marked(str(event.get("correlation_id"))) and self._ending:
                self._give_back()
        elif name == "DTMF_END":
            key = Message(Kind.DTMF, str(event.get("digit")).encode("utf-8", "replace"))
            if self._intake.takes(key, time.monotonic()):
                super()._message(key)
        elif name == "ERROR":
            log.warning("Asterisk could not do it", call=self._name(), error=str(event.get("error_text"))[:200])
