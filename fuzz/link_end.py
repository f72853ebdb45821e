"""The loop and the transport of one end of a link: what the other end sends is an input, cut in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from engine.link.connection import Connection

TURNS: Final = 2_000
"""The turns of the loop in which all that has come is handled."""


class LinkEnd(asyncio.Transport):
    """Keeps what is sent, and tells the connection when it is lost."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.sent = bytearray()
        self.wrong: list[dict[str, Any]] = []
        """What the loop was told of errors that nobody has caught."""
        self._connection = connection
        self._closing = self._lost = False
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.wrong.append(context))
        connection.connection_made(self)

    async def receive(self, chunks: Iterable[bytes]) -> None:
        """Has the connection take what comes, until it is lost."""
        for chunk in chunks:
            if self._lost:
                return
            self._take(chunk)
            await asyncio.sleep(0)
        for _ in range(TURNS):
            if self._lost or not self._connection._turning:
                return
            await asyncio.sleep(0)
        raise AssertionError("what has come is never handled")

    def _take(self, chunk: bytes) -> None:
        """Gives it to the connection as a loop does, in pieces that fit into its buffer."""
        while chunk:
            buffer = self._connection.get_buffer(-1)
            size = min(len(chunk), len(buffer))
            buffer[:size] = chunk[:size]
            self._connection.buffer_updated(size)
            chunk = chunk[size:]

    async def lose(self) -> None:
        """Ends the connection, as the other end does. Raises AssertionError where something went wrong on the way."""
        self.abort()
        await asyncio.sleep(0)
        self._loop.set_exception_handler(None)
        assert not self.wrong, self.wrong

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        self._lost = True
        self._connection.connection_lost(None)
