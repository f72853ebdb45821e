"""A network that can be ill, between us and one neighbour: a TCP proxy with the toxics of Toxiproxy, and some more.

Each toxic works on one direction of all connections, those that are open too:

    async with ToxicProxy.before("127.0.0.1", 8000) as proxy:
        proxy.down.latency_ms = 500        # what the neighbour sends is late
        proxy.up.stopped = True            # nothing of ours comes through, and no connection ends: half-open
        proxy.reset()                      # every connection is reset
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from random import Random
from typing import Final, Self

PIECE_BYTES: Final = 16_384
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Toxics:
    """What is wrong with one direction; by default nothing."""

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_kb_s: float = 0.0
    """Kilobytes a second; 0: as fast as it goes."""
    slice_bytes: int = 0
    """It comes in pieces of so many bytes; 0: as it was sent."""
    slice_pause_ms: float = 1.0
    garbled: float = 0.0
    """The share of pieces in which bytes are changed."""
    stopped: bool = False
    """Nothing passes, and nothing ends."""
    limit_bytes: int = 0
    """After so many bytes a connection is closed; 0: never."""

    def heal(self) -> None:
        """Lets all be well again."""
        for each in fields(self):
            setattr(self, each.name, each.default)


class ToxicProxy:
    """Listens at `port` for a neighbour; `up` is the way to the neighbour, `down` the way back."""

    def __init__(self, host: str, port: int, chance: Random | None = None) -> None:
        self.up, self.down = Toxics(), Toxics()
        self.port = 0
        self.refuses = False
        """New connections are reset."""
        self._neighbour = host, port
        self._chance = chance or Random(0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, host: str, port: int, chance: Random | None = None) -> AsyncIterator[Self]:
        """Listens in front of a neighbour until the end of the block."""
        proxy = cls(host, port, chance)
        listener = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)
        proxy.port = listener.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            listener.close()
            for task in tuple(proxy._tasks):
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)
            for writer in proxy._writers:
                writer.transport.abort()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._tasks)

    def heal(self) -> None:
        """Lets all be well again."""
        self.refuses = False
        self.up.heal()
        self.down.heal()

    def reset(self) -> None:
        """Resets every connection, on both sides."""
        for writer in tuple(self._writers):
            _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy is closed; asyncio would log it
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            _reset(writer)
            return
        try:
            back, there = await asyncio.open_connection(*self._neighbour)
        except OSError:
            _reset(writer)
            return
        pair = {writer, there}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, there, self.up))
                both.create_task(self._pass_on(back, writer, self.down))
        finally:
            self._writers -= pair
            for each in pair:
                each.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Toxics) -> None:
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(PIECE_BYTES):
                for piece in self._pieces(data, toxics):
                    await self._hold(len(piece), toxics)
                    writer.write(piece)
                    await writer.drain()
                passed += len(data)
                if 0 < toxics.limit_bytes <= passed:
                    break
            await self._hold(0, toxics)
        with suppress(ConnectionError, OSError, RuntimeError):
            writer.write_eof()

    def _pieces(self, data: bytes, toxics: Toxics) -> list[bytes]:
        if self._chance.random() < toxics.garbled:
            at = self._chance.randrange(len(data))
            data = data[:at] + self._chance.randbytes(min(8, len(data) - at)) + data[at + 8 :]
        size = toxics.slice_bytes or len(data)
        return [data[at : at + size] for at in range(0, len(data), size)]

    async def _hold(self, size: int, toxics: Toxics) -> None:
        """Waits as long as the toxics have a piece wait."""
        wait_ms = toxics.latency_ms + self._chance.uniform(0.0, toxics.jitter_ms)
        if toxics.bandwidth_kb_s:
            wait_ms += size / toxics.bandwidth_kb_s
        if toxics.slice_bytes:
            wait_ms += toxics.slice_pause_ms
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        while toxics.stopped:  # noqa: ASYNC110 - a test sets and heals it at any moment
            await asyncio.sleep(0.01)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
