"""One end of a connection in memory: the transport that asyncio would give its protocol, with TCP behind it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from tests.simulation.network import Host, Network, Quality
    from tests.simulation.virtual_loop import VirtualLoop

BETWEEN_S: Final = 1e-7
"""From one piece to the next on a connection: timers for the same moment run in no order."""


class End(asyncio.Transport):
    """One end of a connection: a transport for the protocol that has it."""

    other: End

    def __init__(
        self, loop: VirtualLoop, host: Host, name: str, chance: Random, *, is_ours: bool, network: Network
    ) -> None:
        super().__init__()
        self._loop = loop
        self._host = host
        self.name = name
        self._chance = chance
        self._is_ours = is_ours
        self._network = network
        self._protocol: asyncio.Protocol | asyncio.BufferedProtocol | None = None
        self.on_write: Callable[[bytes], None] | None = None
        """Is told of all that is written, at the moment at which it is."""
        self.gone = False
        """Nothing is read any more, and the protocol knows or is about to."""
        self.closed_s: float | None = None
        """When it began to close."""
        self._closing = False
        self._ended = False
        """The end of what it sends has been sent."""
        self._paused = False
        self._unread: deque[bytes] = deque()
        """What has come, and was not taken."""
        self._unread_end = False
        self._under_way = 0
        """How many bytes of ours the other end has not taken yet."""
        self._waiting: deque[bytes] = deque()
        """What was written and has no room on the way."""
        self._high = 65_536
        self._blocked = False
        self.blocked: list[list[float]] = []
        """The spans in which there was no room for more; the last has no end while there is none."""
        self._last_s = 0.0
        self._deaf_until_s = 0.0
        self._was_reset = False
        self._missed = False
        """Something came after it was closed, so that it does not end cleanly."""

    # asyncio.Transport --------------------------------------------------------------------------------------------

    def open(self, protocol: asyncio.BaseProtocol) -> None:
        """Gives the end to its protocol."""
        self._protocol = cast(asyncio.Protocol | asyncio.BufferedProtocol, protocol)
        self._protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol | asyncio.BufferedProtocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": FakeSocket(), "peername": ("10.0.0.2", 1), "sockname": ("10.0.0.1", 1)}.get(name, default)

    def is_closing(self) -> bool:
        return self._closing or self.gone

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._waiting))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ended = True
        self._send_end()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        data = bytes(data)
        if self.gone or self._closing or not data:
            return
        if self.on_write is not None:
            self.on_write(data)
        self._waiting.append(data)
        self._send()
        if self._waiting and not self._blocked and self.get_write_buffer_size() > self._high:
            self._blocked = True
            self.blocked.append([self._loop.time(), math.inf])
            assert self._protocol is not None
            self._protocol.pause_writing()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._hand_over)

    def is_reading(self) -> bool:
        return not self._paused and not self.is_closing()

    def close(self) -> None:
        if not self.is_closing():
            self._closing = True
            self.closed_s = self._loop.time()
            self._missed = bool(self._unread)
            if not self._waiting:
                self._finish()

    def abort(self) -> None:
        if not self.gone:
            self._waiting.clear()
            self._finish()

    def reset(self) -> None:
        """Breaks the connection as a crash of this end does."""
        if not self.gone:
            self._lose(None)
            self.other._break_off(ConnectionResetError(104, "Connection reset by peer"))

    def time_out(self) -> None:
        """Gives the other host up, as the kernel does that has no answer."""
        if self._under_way or self._waiting:
            self._lose(TimeoutError(110, "Connection timed out"))

    def be_deaf(self, seconds: float) -> None:
        """Takes nothing for a while."""
        self._deaf_until_s = self._loop.time() + seconds

    # The way ------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Sends what there is room for on the way."""
        quality, chance, waiting = self._host.quality, self._chance, self._waiting
        while waiting:
            size = len(waiting[0])
            if self._under_way + size > quality.holds_bytes and self._under_way:
                break
            data = waiting.popleft()
            self._under_way += size
            if quality.split and size > 1 and chance.random() < quality.split:
                cut = chance.randrange(1, size)
                self._post(data[:cut], quality)
                self._post(data[cut:], quality)
            else:
                self._post(data, quality)
        if self._blocked and not waiting and not self.gone:
            self._blocked = False
            self.blocked[-1][1] = self._loop.time()
            assert self._protocol is not None
            self._protocol.resume_writing()
        if self._closing and not waiting and not self.gone:
            self._finish()

    def _post(self, data: bytes, quality: Quality) -> None:
        delay_ms = quality.delay_ms + (self._chance.random() * quality.jitter_ms if quality.jitter_ms else 0.0)
        last_s, due_s = self._last_s + BETWEEN_S, self._loop.time() + delay_ms / 1000
        self._last_s = due_s if due_s > last_s else last_s
        self._loop.call_at(self._last_s, self.other._arrive, data)

    def _send_end(self) -> None:
        self._last_s = max(self._last_s + BETWEEN_S, self._loop.time() + self._host.quality.delay_ms / 1000)
        self._loop.call_at(self._last_s, self.other._arrive, b"")

    def _arrive(self, data: bytes) -> None:
        """Takes what comes by the network; an empty text is the other's end."""
        now_s = self._loop.time()
        if self._host.stalled_until_s > now_s or self._deaf_until_s > now_s or (self._unread and not self.gone):
            if not self._unread and not self._unread_end:
                wait_until_s = max(self._host.stalled_until_s, self._deaf_until_s, now_s)
                self._loop.call_at(wait_until_s, self._hand_over)
            self._keep(data)
        elif self._paused and not self.gone:
            self._keep(data)
        else:
            self._take(data)

    def _keep(self, data: bytes) -> None:
        if data:
            self._unread.append(data)
        else:
            self._unread_end = True

    def _hand_over(self) -> None:
        """Hands on what has come meanwhile, all of it together, as a socket that is read late does."""
        wait_until_s = max(self._host.stalled_until_s, self._deaf_until_s)
        if wait_until_s > self._loop.time():
            self._loop.call_at(wait_until_s, self._hand_over)
            return
        if self._paused and not self.gone:
            return
        if self._unread:
            data = b"".join(self._unread)
            self._unread.clear()
            self._take(data)
        if self._unread_end and not self._paused:
            self._unread_end = False
            self._take(b"")

    def _take(self, data: bytes) -> None:
        if self.gone:
            if data:
                self._bounce()
            return
        if self._closing:
            self._missed = self._missed or bool(data)
            return
        assert self._protocol is not None
        if data:
            other = self.other
            other._under_way -= len(data)
            self._give(data)
            if other._waiting:
                self._loop.call_soon(other._send)
        elif not self._protocol.eof_received():
            self.close()

    def _give(self, data: bytes) -> None:
        """Gives what has come to the protocol, in its own buffer if it has one."""
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            assert protocol is not None
            protocol.data_received(data)
            return
        while data:
            buffer = protocol.get_buffer(len(data))
            taken = min(len(buffer), len(data))
            buffer[:taken] = data[:taken]
            protocol.buffer_updated(taken)
            data = data[taken:]

    def _bounce(self) -> None:
        """Answers bytes that nobody will read with a reset, as the kernel does."""
        if self._is_ours and not self._was_reset:
            self._network.resets_by_us.append(self.name)
        self.other._break_off(ConnectionResetError(104, "Connection reset by peer"))

    def _break_off(self, error: Exception) -> None:
        """Loses the connection once the other's reset comes, behind the bytes that it had sent before."""
        self._was_reset = True
        at_s = max(self.other._last_s + BETWEEN_S, self._loop.time() + self._host.quality.delay_ms / 1000)
        self._loop.call_at(at_s, self._lose, error)

    def _finish(self) -> None:
        """Closes this end, all of whose bytes are on the way."""
        if self._missed or self._unread:
            self._bounce()
        elif not self._ended:
            self._ended = True
            self._send_end()
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self.gone:
            return
        self.gone = True
        self.closed_s = self._loop.time() if self.closed_s is None else self.closed_s
        self._waiting.clear()
        if self.other.gone:
            theirs = self.other if self._is_ours else self
            if theirs in self._host.ends:
                self._host.ends.remove(theirs)
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, error)


class FakeSocket:
    """What libraries ask of a socket: they may set options, and look whether an idle connection has ended."""

    family = 2

    def setsockopt(self, *_: Any) -> None:
        pass

    def getpeername(self) -> Any:
        return ("10.0.0.2", 1)

    def getsockname(self) -> Any:
        return ("10.0.0.1", 1)

    def fileno(self) -> int:
        return -1
