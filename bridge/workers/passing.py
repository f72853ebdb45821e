"""A connection that came over HTTP and became a call's own, on its way to the worker that is to have the call."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

import structlog

from bridge.line.connection import CLOSE_DEADLINE_S
from bridge.line.sparse_log import SparseLog
from bridge.line.websocket import command

log = structlog.get_logger(__name__)

MAX_BYTES: Final = 4_096
"""The most that goes along with a connection. Asterisk sends nothing before it is answered, and an event after that."""
WRITE_S: Final = 1.0
"""How long the peer may take to read the answer to its request."""

_HANGUP: Final = command("HANGUP")


class HandOver(Protocol):
    """Gives a connection away, with what has come on it; tells whether anybody took it."""

    def __call__(self, descriptor: int, *, data: bytes) -> bool: ...


class Passing(asyncio.Protocol):
    """Has the connection for a moment, until what was written to it has left. Meanwhile nothing is read from it."""

    def __init__(self, hand_over: HandOver, strangers: SparseLog) -> None:
        self._hand_over = hand_over
        self._strangers = strangers
        self._data = b""
        self._refused = False
        self._next: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=0)  # so that it is told when all has left
        loop = asyncio.get_running_loop()
        if self._transport.get_write_buffer_size():
            self._next = loop.call_later(WRITE_S, self._transport.abort)
        else:
            self._next = loop.call_soon(self._give)  # what has come already is told first

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            self._data += data

    def resume_writing(self) -> None:
        if not self._refused:
            self._give()

    def connection_lost(self, error: Exception | None) -> None:
        self._cancel()

    def _give(self) -> None:
        self._cancel()
        if self._transport.is_closing():
            return
        descriptor = self._transport.get_extra_info("socket").fileno()
        if len(self._data) > MAX_BYTES:
            self._strangers.write(log.warning, "not Asterisk's WebSocket: it sends before it is answered")
        elif self._hand_over(descriptor, data=self._data):
            self._transport.abort()  # closes what this process has of it, and nothing else
            return
        else:
            self._strangers.write(log.error, "no worker takes a call")
        self._turn_away()

    def _turn_away(self) -> None:
        """Gives the call back to its dialplan, and reads on a while: to close with data unread would be a reset."""
        self._refused = True
        self._transport.resume_reading()
        self._transport.write(_HANGUP)
        self._next = asyncio.get_running_loop().call_later(CLOSE_DEADLINE_S, self._transport.close)

    def _cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
