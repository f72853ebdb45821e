"""One end of a link: frames in, frames out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

import structlog

from engine.link.frames import Decoder, Frame, Limits, WrongBytes, encode

log = structlog.get_logger(__name__)

FRAMES_A_TURN: Final = 4
"""The frames that are handled before the loop's other tasks get their turn, the calls' clock above all. A step of a
full batch brings hundreds of pieces of sound, and each costs its listener some tenths of a millisecond."""
READ_BYTES: Final = 2**18
"""What is read at once, at most, into a buffer that stays. Were memory taken for each read, as asyncio does by itself,
the kernel would have to clear it anew: half of what it costs to read and cut a piece of sound."""
WRITE_BYTES: Final = 2**16
"""What waits for the end of the loop's turn, at most: a batch's sound for all calls leaves in a few writes."""
UNANSWERED_MS: Final = 5_000
"""A machine that has not acknowledged for so long what was sent to it is gone: its system would have."""


class Connection(asyncio.BufferedProtocol):
    """Calls back with each frame that comes, in order, and once when the connection is lost.

    A frame that may not come closes the connection, and so does one for which `on_frame` raises WrongBytes. Nothing is
    read while frames wait to be handled: a flood fills the kernel's buffer, not this process's memory.
    """

    def __init__(
        self,
        limits: Limits,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[str], None],
        on_made: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lost` is told what was wrong; an empty text where the other end has closed the connection."""
        self.read = 0
        """The times that anything was read."""
        self._on_frame, self._on_lost, self._on_made = on_frame, on_lost, on_made
        self._decoder = Decoder(limits)
        self._arriving = memoryview(bytearray(READ_BYTES))
        self._unsent = bytearray()
        """The frames of this turn of the loop, which leave in one write."""
        self._turning = False
        self._wrong = ""
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._stuck_looks = 0

    def stuck_looks(self) -> int:
        """Looks whether the other end reads as fast as is sent; returns 0 where it does.

        Else returns for how many looks in a row nothing has moved. A narrow line is full at each look, but moves.
        """
        self._stuck_looks = 0 if self._writable.is_set() else self._stuck_looks + 1
        return self._stuck_looks

    def take(self, limits: Limits) -> None:
        """Takes other frames from now on."""
        self._decoder.limits = limits

    def send(self, kind: int, number: int = 0, payload: bytes = b"") -> None:
        """Queues a frame. Does nothing where the connection is lost."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += encode(kind, number, payload)
        if len(self._unsent) >= WRITE_BYTES:
            self._flush()

    async def writable(self) -> None:
        """Waits while the other end reads more slowly than is sent."""
        await self._writable.wait()

    def close(self) -> None:
        """Closes the connection once all is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Closes the connection at once. `on_lost` is told the reason."""
        self._wrong = self._wrong or reason
        if self._transport is not None:
            self._transport.abort()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._wrong:  # it was given up while it was being encrypted
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError, AttributeError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
        self._on_made()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._arriving

    def buffer_updated(self, nbytes: int) -> None:
        self.read += 1
        self._decoder.feed(bytes(self._arriving[:nbytes]))
        if not self._turning:
            self._turn()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._stuck_looks = 0
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        self._transport = None
        self._on_lost(self._wrong or (str(error) if error is not None else ""))

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(bytes(self._unsent))
        self._unsent.clear()

    def _turn(self) -> None:
        """Handles some frames; where more are there, the rest in the loop's next turns."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            for _ in range(FRAMES_A_TURN):
                frame = self._decoder.take()
                if frame is None:
                    if self._turning:
                        self._turning = False
                        transport.resume_reading()
                    return
                self._on_frame(frame)
        except WrongBytes as error:
            log.error("the other end of an engine's link does not speak its protocol", error=str(error))
            self.abort(str(error))
            return
        if not self._turning:
            self._turning = True
            transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._turn)
