"""One call placed at an AudioSocket server as Asterisk places it, with the time of everything that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys
import time
from collections import Counter, deque
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from bridge.audiosocket import FRAME_MS, KIND_OF_RATE, RATE_HZ, Decoder, Kind, encode
from bridge.reception import Reception

TICK_S: Final = FRAME_MS / 1000
CONNECT_TIMEOUT_S: Final = 2.0
"""Asterisk's MAX_CONNECT_TIMEOUT_MSEC."""
CLOSE_TIMEOUT_S: Final = 1.0
"""How long the server may take to close its side after a hang-up."""
DIGIT_TICKS: Final = 5
"""A pressed digit lasts 100 ms, in which Asterisk sends no audio; so does the pause to the next one, with audio."""

_HEADER_BYTES: Final = 3
_SO_TIMESTAMPNS: Final = 35 if sys.platform == "linux" else None  # SO_TIMESTAMPNS_OLD; `socket` does not name it
_TIMESPEC: Final = struct.Struct("@qq" if sys.maxsize > 2**32 else "@ll")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)


class Close(StrEnum):
    """How the server's side of the connection ended."""

    OPEN = "still open"
    EOF = "EOF"
    RESET = "reset"
    MID_MESSAGE = "EOF inside a message"


class CannotCall(Exception):
    """No connection came about. Its text is fit for an administrator."""


class Caller:
    """A call in progress. Sends a frame every 20 ms on a phase of its own and reads everything.

    Arrival times are the kernel's, of the moment the last byte of a frame reached this host, so that a busy caller is
    not taken for a late server. Frames that lay unread together share the stamp of the last of them: for the earlier
    ones it is an upper bound, and equal stamps tell how many there were. Where the kernel gives no stamps
    (`kernel_times` is False) the times are those of reading.
    """

    def __init__(self, *, rate_hz: int = 8_000, call_id: UUID | None = None, keep_audio: bool = False) -> None:
        self.id = call_id or uuid4()
        self.rate_hz = rate_hz
        self.received = Reception(keep_audio=keep_audio)
        self.kernel_times = False
        self.connected_s = 0.0
        """When the UUID had been sent. All times are seconds of `time.monotonic()`."""
        self.hung_up_s: float | None = None
        """When we hung up, of ourselves or because the server told us to."""
        self.hangup_received_s: float | None = None
        """When the server's 00 00 00 came."""
        self.closed_s: float | None = None
        """When the server closed its side."""
        self.close = Close.OPEN
        self.kinds: Counter[int] = Counter()
        """Messages received, by kind."""
        self.sizes: Counter[tuple[int, int]] = Counter()
        """Audio messages received, by kind and payload bytes."""
        self.other_rate_s: float | None = None
        """When audio of another rate than ours last came."""
        self.after_hangup = 0
        """Messages received after the server's own 00 00 00."""
        self.worst_split_ms = 0.0
        """Longest time from a part of a message to its end. Asterisk drops the call at about 5 ms."""
        self.unread = False
        """The server stopped reading, and our write failed; Asterisk drops the call then."""
        self.late_s = 0.0
        """How late our own frames left at the worst: what this caller's host was short of."""
        self.sent = bytearray() if keep_audio else None
        """What we said, with silence where a digit was pressed."""
        self.first_sent_s = 0.0
        self.ended = asyncio.Event()
        """The connection is over in both directions."""
        self._sock: socket.socket | None = None
        self._decoder = Decoder()
        self._part_s: float | None = None
        self._read_bytes = _HEADER_BYTES + 2 * rate_hz * FRAME_MS // 1000
        self._realtime_offset_s = 0.0
        self._speech = bytearray()
        self._loops = False
        self._digits: deque[str] = deque()
        self._digit_ticks = 0
        self._tick_handle: asyncio.TimerHandle | None = None
        self._close_handle: asyncio.TimerHandle | None = None
        self._voice_waiters: list[tuple[float, asyncio.Future[float]]] = []

    async def connect(self, host: str, port: int) -> None:
        """Connect, send the UUID and start to speak. Raises CannotCall."""
        self._loop = asyncio.get_running_loop()
        try:
            self._sock = await asyncio.wait_for(_connected(host, port), CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise CannotCall(f"{host}:{port} did not answer within {CONNECT_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise CannotCall(f"cannot connect to {host}:{port}: {error.strerror or error}") from None
        self._realtime_offset_s = realtime_offset_s()
        if _SO_TIMESTAMPNS is not None:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.send(encode(Kind.UUID, self.id.bytes))
        self.connected_s = time.monotonic()
        self._loop.add_reader(self._sock, self._readable)
        self._next_s = self.connected_s + random.random() * TICK_S
        self.first_sent_s = self._next_s
        self._arm()

    def speak(self, pcm: bytes, *, loop: bool = False) -> None:
        """Say 16-bit little-endian mono at `rate_hz` after what is still to be said, for ever if `loop`."""
        self._speech += pcm
        self._loops = loop

    @property
    def speaking(self) -> bool:
        """There is still something to be said."""
        return bool(self._speech)

    def press(self, digits: str) -> None:
        """Press digits, one after the other: 100 ms each, 100 ms apart."""
        self._digits.extend(digits)

    def hang_up(self) -> None:
        """End our side, as Asterisk does when the caller has gone. `ended` is set when the server has closed too."""
        if self._sock is None or self.hung_up_s is not None:
            return
        self.hung_up_s = time.monotonic()
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        with contextlib.suppress(OSError):  # the other side was faster
            self._sock.shutdown(socket.SHUT_WR)
        self._close_handle = self._loop.call_later(CLOSE_TIMEOUT_S, self._over)

    async def voiced(self, after_s: float) -> float:
        """Wait for the first voiced frame that comes in after `after_s`; its time. Raises EOFError if none came."""
        already = self.received.first_voiced_s(after_s)
        if already is not None:
            return already
        if self.ended.is_set():
            raise EOFError("the call is over")
        waiter: asyncio.Future[float] = self._loop.create_future()
        self._voice_waiters.append((after_s, waiter))
        return await waiter

    # Sending ----------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._tick_handle = self._loop.call_at(self._next_s - time.monotonic() + self._loop.time(), self._tick)

    def _tick(self) -> None:
        self.late_s = max(self.late_s, time.monotonic() - self._next_s)
        if self._digits or self._digit_ticks:
            message = self._digit_tick()
        else:
            message = self._audio_tick()
        if message and not self._send(message):
            return
        self._next_s += TICK_S
        self._arm()

    def _audio_tick(self) -> bytes:
        size = 2 * self.rate_hz * FRAME_MS // 1000
        frame = bytes(self._speech[:size])
        del self._speech[:size]
        if self._loops:
            self._speech += frame
        frame = frame.ljust(size, b"\0")
        if self.sent is not None:
            self.sent += frame
        return encode(KIND_OF_RATE[self.rate_hz], frame)

    def _digit_tick(self) -> bytes:
        """While a digit lasts nothing is sent but, at its end, the digit; then as long a pause with audio."""
        self._digit_ticks += 1
        if self._digit_ticks > DIGIT_TICKS:
            if self._digit_ticks == 2 * DIGIT_TICKS:
                self._digit_ticks = 0
            return self._audio_tick()
        if self.sent is not None:
            self.sent += bytes(2 * self.rate_hz * FRAME_MS // 1000)
        if self._digit_ticks < DIGIT_TICKS:
            return b""
        return encode(Kind.DTMF, self._digits.popleft().encode())

    def _send(self, message: bytes) -> bool:
        assert self._sock is not None
        try:
            if self._sock.send(message) == len(message):
                return True
            self.unread = True
        except BlockingIOError:
            self.unread = True
        except OSError:  # reading will say what became of the connection
            return False
        self.hang_up()
        return False

    # Receiving --------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data, ancillary, _, _ = self._sock.recvmsg(self._read_bytes, _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._closed(Close.RESET)
            return
        if not data:
            self._closed(Close.MID_MESSAGE if self._decoder.mid_message else Close.EOF)
            return
        at_s = self._arrival_s(ancillary)
        for kind, payload in self._decoder.feed(data):
            if self._part_s is not None:
                self.worst_split_ms = max(self.worst_split_ms, (at_s - self._part_s) * 1000)
                self._part_s = None
            self._message(kind, payload, at_s)
        if self._decoder.mid_message and self._part_s is None:
            self._part_s = at_s

    def _arrival_s(self, ancillary: list[tuple[int, int, bytes]]) -> float:
        for _, kind, stamp in ancillary:
            if kind == _SO_TIMESTAMPNS:
                self.kernel_times = True
                seconds, nanoseconds = _TIMESPEC.unpack(stamp[: _TIMESPEC.size])
                return float(seconds) + float(nanoseconds) * 1e-9 - self._realtime_offset_s
        return time.monotonic()

    def _message(self, kind: int, payload: bytes, at_s: float) -> None:
        self.kinds[kind] += 1
        if self.hangup_received_s is not None:
            self.after_hangup += 1
        elif kind == Kind.HANGUP:
            self.hangup_received_s = at_s
            self.hang_up()
        elif (rate_hz := RATE_HZ.get(kind)) is not None:
            self.sizes[kind, len(payload)] += 1
            if rate_hz != self.rate_hz:
                self.other_rate_s = at_s
            if self.received.add(at_s, rate_hz, payload) and self._voice_waiters:
                self._voice_came(at_s)

    def _voice_came(self, at_s: float) -> None:
        waiting = self._voice_waiters
        self._voice_waiters = [entry for entry in waiting if at_s <= entry[0]]
        for after_s, waiter in waiting:
            if at_s > after_s and not waiter.done():
                waiter.set_result(at_s)

    def _closed(self, close: Close) -> None:
        self.close = close
        self.closed_s = time.monotonic()
        self.hang_up()
        self._over()

    def _over(self) -> None:
        assert self._sock is not None
        if self.ended.is_set():
            return
        if self._close_handle is not None:
            self._close_handle.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for _, waiter in self._voice_waiters:
            if not waiter.done():
                waiter.set_exception(EOFError("the call is over"))
        self.ended.set()


def realtime_offset_s() -> float:
    """What to take from a kernel time stamp (CLOCK_REALTIME) to get `time.monotonic()`."""
    best_width = best_offset = 0
    for attempt in range(5):
        before = time.monotonic_ns()
        realtime = time.time_ns()
        after = time.monotonic_ns()
        if not attempt or after - before < best_width:
            best_width, best_offset = after - before, realtime - (before + after) // 2
    return best_offset / 1e9


async def _connected(host: str, port: int) -> socket.socket:
    """A connection to the first address of `host` that takes one. Raises OSError."""
    loop = asyncio.get_running_loop()
    error = OSError(f"no address for {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
            return sock
        except OSError as failed:
            error = failed
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise error
