"""Places one call at an AudioSocket server as Asterisk does, and notes when everything comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import sys
import time
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from bridge.dial.handset import Handset
from bridge.dial.reception import Reception
from bridge.line.audiosocket import FRAME_MS, RATE_HZ, Kind, encode
from engine.speech import Pcm

TICK_S: Final = FRAME_MS / 1000
CONNECT_TIMEOUT_S: Final = 2.0
"""This is Asterisk's MAX_CONNECT_TIMEOUT_MSEC."""
CLOSE_TIMEOUT_S: Final = 1.0
"""How long the server may take to close its side after a hang-up."""
READ_AT_ONCE: Final = 50
"""Frames. Where more lie there, others have their turn first: our own frames, and whoever hangs up."""
MAX_AHEAD_S: Final = 30.0
"""How much sound a server may send before it is due. What a flood would bring has to be kept, and is no call."""

_HEADER_BYTES: Final = 3
_SO_TIMESTAMPNS: Final = 35  # Linux calls it SO_TIMESTAMPNS_OLD; Python's socket module does not name it
_TIMESPEC: Final = struct.Struct("@ll")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)


class Close(StrEnum):
    """How the server's side of the connection ended."""

    OPEN = "still open"
    EOF = "EOF"
    RESET = "reset"
    MID_MESSAGE = "EOF inside a message"
    FLOOD = "left by us, as it sent far faster than real time"


class CannotCall(Exception):
    """The server could not be connected to. The text is fit for an administrator."""


class Caller:
    """A call that is placed and held. It sends a frame every 20 ms from a random moment on, and reads everything.

    All times are seconds of `time.monotonic()`. Arrivals are timed by the kernel, at the moment when the last byte of a
    frame reached this host, so that a busy caller is not taken for a late server. Where the kernel gives no stamp, the
    time is that of reading, and `unstamped` counts it: the first frame or two, while the kernel turns its stamps on.
    """

    def __init__(self, *, rate_hz: int = 8_000, call_id: UUID | None = None, keep_audio: bool = False) -> None:
        self.id = call_id or uuid4()
        self.handset = Handset(rate_hz, keep_audio=keep_audio)
        self.received = Reception(rate_hz, keep_audio=keep_audio)
        self.unstamped = 0
        self.dialled_s = 0.0
        """When `connect` was called."""
        self.first_sent_s = 0.0
        """When the first frame was sent."""
        self.hung_up_s: float | None = None
        """When our side ended, be it by `hang_up` or because the server hung up."""
        self.by_server = False
        """Whether the server ended the call."""
        self.closed_s: float | None = None
        """When the server closed its side."""
        self.close = Close.OPEN
        self.write_failed = False
        """Whether a write failed because the server did not read; Asterisk drops the call then."""
        self.late_s = 0.0
        """How late the latest of our own frames left, which tells how busy this host was."""
        self.ended = asyncio.Event()
        """Set when both sides are closed, or the server's is still open `CLOSE_TIMEOUT_S` after ours."""
        self._sock: socket.socket | None = None
        self._received_bytes = 0
        self._read_bytes = _HEADER_BYTES + self.handset.frame_bytes
        self._tick_handle: asyncio.TimerHandle | None = None
        self._close_handle: asyncio.TimerHandle | None = None
        self._voice_waiters: list[tuple[float, asyncio.Future[float]]] = []

    async def connect(self, host: str, port: int) -> None:
        """Connects, sends the UUID and starts to send frames. Raises CannotCall."""
        self._loop = asyncio.get_running_loop()
        self.dialled_s = time.monotonic()
        try:
            self._sock = await asyncio.wait_for(_connected(host, port), CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise CannotCall(f"{host}:{port} did not answer within {CONNECT_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
            raise CannotCall(f"cannot connect to {host}:{port}: {reason}") from None
        self._realtime_offset_ns = realtime_offset_ns()
        self._send(encode(Kind.UUID, self.id.bytes))
        self._loop.add_reader(self._sock, self._readable)
        self._next_s = self.first_sent_s = time.monotonic() + random.random() * TICK_S
        self._arm()

    @property
    def connected(self) -> bool:
        """Tells whether `connect` succeeded, whatever happened afterwards."""
        return self._sock is not None

    def hang_up(self) -> None:
        """Ends our side, as Asterisk does when the caller has gone. `ended` is set once the server's has ended too."""
        if self._sock is None or self.hung_up_s is not None:
            return
        self.hung_up_s = time.monotonic()
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        with contextlib.suppress(OSError):  # the other side was faster
            self._sock.shutdown(socket.SHUT_WR)
        self._close_handle = self._loop.call_later(CLOSE_TIMEOUT_S, self._over)

    def speak(self, pcm: Pcm) -> tuple[float, float]:
        """Says `pcm` after all before it; returns when that begins and when it ends."""
        start_s = self.first_sent_s + self.handset.due_ticks * TICK_S
        self.handset.speak(pcm.astype("<i2").tobytes())
        return start_s, start_s + pcm.size / self.handset.rate_hz

    async def voice(self, after_s: float) -> float:
        """Waits for the first voiced frame after `after_s` and returns its time. Raises EOFError if the call ends."""
        already = self.received.first_voiced_s(after_s)
        if already is not None:
            return already
        if self.ended.is_set():
            raise EOFError("the call is over")
        waiter: asyncio.Future[float] = self._loop.create_future()
        self._voice_waiters.append((after_s, waiter))
        return await waiter

    async def silence(self, lasting_s: float) -> None:
        """Waits until no voiced frame has come in for `lasting_s`, counted from now at the earliest."""
        since_s = time.monotonic()
        while not self.ended.is_set():
            left_s = max(since_s, self.received.latest_voiced_s or 0.0) + lasting_s - time.monotonic()
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    def _arm(self) -> None:
        self._tick_handle = self._loop.call_later(max(0.0, self._next_s - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self.late_s = max(self.late_s, time.monotonic() - self._next_s)
        self._next_s += TICK_S
        self._arm()
        message = self.handset.tick()
        if message:
            self._send(message)

    def _send(self, message: bytes) -> None:
        assert self._sock is not None
        try:
            if self._sock.send(message) == len(message):
                return
        except BlockingIOError:
            pass
        except OSError:
            return  # the connection has gone: reading tells how
        self.write_failed = True
        self.hang_up()

    def _readable(self) -> None:
        """Reads what is there. After a reset uvloop tells only once that there is something to read."""
        for _ in range(READ_AT_ONCE):
            if self.ended.is_set() or not self._read_frame():
                return
        self._loop.call_soon(self._readable)

    def _read_frame(self) -> bool:
        """Reads one frame at most, so that it gets its own stamp: a longer read would get only the last one's.

        Returns False where there is nothing to read.
        """
        assert self._sock is not None
        try:
            data, ancillary, _, _ = self._sock.recvmsg(self._read_bytes, _ANCILLARY_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self._closed(Close.RESET)
            return True
        if not data:
            self._closed(Close.MID_MESSAGE if self.received.mid_message else Close.EOF)
            return True
        self._received_bytes += len(data)
        if self._received_bytes > self._most_bytes():
            self.close = Close.FLOOD
            self.hang_up()
            self._over()
            return False
        self.received.feed(data, self._arrival_s(ancillary))
        if self._voice_waiters:
            self._wake(self.received.latest_voiced_s)
        if self.received.hangup_s is not None and self.hung_up_s is None:
            self.by_server = True
            self.hang_up()
        return True

    def _most_bytes(self) -> float:
        """Returns how much may have come by now, at the rate that takes the most bytes."""
        return (time.monotonic() - self.dialled_s + MAX_AHEAD_S) * 2 * max(RATE_HZ.values())

    def _arrival_s(self, ancillary: list[tuple[int, int, bytes]]) -> float:
        for _, kind, stamp in ancillary:
            if kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack(stamp)
                return (int(seconds) * 1_000_000_000 + int(nanoseconds) - self._realtime_offset_ns) / 1e9
        self.unstamped += 1
        return time.monotonic()

    def _wake(self, voiced_s: float | None) -> None:
        waiting, self._voice_waiters = self._voice_waiters, []
        for after_s, waiter in waiting:
            if voiced_s is None or voiced_s <= after_s:
                self._voice_waiters.append((after_s, waiter))
            elif not waiter.done():
                waiter.set_result(voiced_s)

    def _closed(self, close: Close) -> None:
        self.close = close
        self.closed_s = time.monotonic()
        self.by_server |= self.hung_up_s is None
        self.hang_up()
        self._over()

    def _over(self) -> None:
        assert self._sock is not None
        if self._close_handle is not None:
            self._close_handle.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for _, waiter in self._voice_waiters:
            if not waiter.done():
                waiter.set_exception(EOFError("the call is over"))
        self.ended.set()


def realtime_offset_ns() -> int:
    """Returns what to subtract from a kernel stamp (CLOCK_REALTIME) to get `time.monotonic_ns()`."""
    readings = []
    for _ in range(5):
        before, realtime, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, realtime - (before + after) // 2))
    return min(readings)[1]  # the reading that was disturbed least


async def _connected(host: str, port: int) -> socket.socket:
    """Returns a connection to the first address of `host` that accepts one. Raises OSError."""
    loop = asyncio.get_running_loop()
    error = OSError(f"no address for {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            await loop.sock_connect(sock, address)
        except OSError as failed:
            error = failed
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error
