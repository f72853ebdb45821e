"""Reads from all connections a little in each turn of the event loop, whatever is sent, how fast and by how many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from engine.loop_share import SHARE_S, Job, loop_share
from engine.speech import Priority
from engine.web.inbox import READING

SLICE_BYTES: Final = 1_024
"""It holds 170 of the smallest WebSocket messages, which aiohttp reads in about a tenth of a millisecond, or eight
requests of a hundred bytes, which take it a millisecond."""
SLICES: Final = 8
"""In a turn, of all connections together."""


class SlicedReading(asyncio.Protocol):
    """Stands between a transport and the protocol of `create`, which is given no more than a slice at once."""

    def __init__(self, create: Callable[[], asyncio.Protocol], urgency: int = Priority.HTTP) -> None:
        self._create = create
        self._urgency = urgency
        self._rest = b""
        """What has come and is not handed on yet. While there is any, nothing is read."""
        self._handed_on = 0
        """The number of bytes at the start of `_rest` that are."""
        self._paused = False
        """The protocol wants nothing now."""
        self._held = False
        """An `Inbox` has enough for now."""
        self._next: Job | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._share = loop_share()
        self._protocol = self._create()
        self._shown = _Transport(self, self._transport)
        self._protocol.connection_made(cast(asyncio.Transport, self._shown))

    def step_in(self, transport: asyncio.Transport, rest: bytes) -> None:
        """Takes the place of the protocol on its connection. `rest` has come, and the protocol has not seen it."""
        self.connection_made(transport)
        transport.set_protocol(self)
        if rest:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        self._rest, self._handed_on = self._rest[self._handed_on :] + data, 0
        if not self._stopped and self._next is None:
            job = self._share.run(self._hand_on, self._urgency, SHARE_S / SLICES)
            self._next = job or self._next  # what was handed on may have left a rest
        if self._rest:
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        if self._next is not None:
            self._next.cancel()
        self._protocol.connection_lost(error)

    def pause(self) -> None:
        """Hands nothing on, and reads nothing."""
        self._paused = True
        self._stop()

    def resume(self) -> None:
        """Hands on what is left, in the turns to come, and reads again after it."""
        self._paused = False
        self._go_on()

    def hold(self) -> None:
        """Does what `pause` does until `release`, whatever the protocol wants."""
        self._held = True
        self._stop()

    def release(self) -> None:
        """Ends what `hold` began."""
        self._held = False
        self._go_on()

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Gives the connection, with what has come and was not handed on, to another protocol.

        The one that had it until now takes the connection for lost.
        """
        rest = self._rest[self._handed_on :]
        self._shown.gone = True
        self.connection_lost(None)
        self._transport.set_protocol(successor)
        self._transport.resume_reading()
        successor.connection_made(self._transport)  # from here on it is the one that says whether it wants to read
        if rest:
            successor.data_received(rest)

    @property
    def _stopped(self) -> bool:
        return self._paused or self._held

    def _stop(self) -> None:
        self._transport.pause_reading()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _go_on(self) -> None:
        if self._stopped or self._transport.is_closing():
            return
        if not self._rest:
            self._transport.resume_reading()
        elif self._next is None:
            self._next = self._share.later(self._hand_on, self._urgency, SHARE_S / SLICES)

    def _hand_on(self) -> None:
        self._next = None
        start = self._handed_on
        self._handed_on += SLICE_BYTES
        piece = self._rest[start : self._handed_on]
        if self._handed_on >= len(self._rest):
            self._rest, self._handed_on = b"", 0
        self._protocol.data_received(piece)
        self._go_on()


class _Transport:
    """The transport as the protocol sees it: it stops the slices where it would stop the reading."""

    def __init__(self, reading: SlicedReading, transport: asyncio.Transport) -> None:
        self.pause_reading = reading.pause
        self.resume_reading = reading.resume
        self._reading = reading
        self._transport = transport
        self.gone = False
        """Another protocol has the connection: nothing done here reaches it."""

    def write(self, data: bytes) -> None:
        if not self.gone:
            self._transport.write(data)

    def close(self) -> None:
        if not self.gone:
            self._transport.close()

    def abort(self) -> None:
        if not self.gone:
            self._transport.abort()

    def is_closing(self) -> bool:
        return self.gone or self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._reading if name == READING else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
