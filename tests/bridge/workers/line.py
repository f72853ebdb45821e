"""A call to a server of several processes, and whether a process lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
from uuid import UUID, uuid4

from bridge.line.audiosocket import Kind, encode
from tests.support.asterisk.talkspurt import Talkspurt

PATIENCE_S = 60.0
FRAME_BYTES = len(encode(Kind.SLIN8, bytes(320)))
HANGUP_BYTES = len(encode(Kind.HANGUP))


class Line(asyncio.Protocol):
    """A caller: counts what comes, and notices how the call ends. It takes little of the machine: there are many."""

    def __init__(self, call_id: UUID) -> None:
        self.id = str(call_id)
        self.end = ""
        """How the server ended the call; empty while it has not."""
        self._call_id = call_id
        self._bytes = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @classmethod
    async def dial(cls, server: Talkspurt, call_id: UUID | None = None) -> Line:
        loop = asyncio.get_running_loop()
        line = cls(call_id or uuid4())
        await loop.create_connection(lambda: line, "127.0.0.1", server.audiosocket_port)
        return line

    async def heard(self, frames: int) -> None:
        """Waits for so many frames more."""
        enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._bytes + frames * FRAME_BYTES, enough))
        assert not self.end, self.end
        await asyncio.wait_for(enough, PATIENCE_S)

    async def ended(self) -> None:
        """Waits until the server has ended the call."""
        with contextlib.suppress(AssertionError):
            await self.heard(2**40)

    def hang_up(self) -> None:
        self._waiting.clear()
        self._transport.close()

    def connection_made(self, transport) -> None:
        self._transport = transport
        transport.write(encode(Kind.UUID, self._call_id.bytes) + encode(Kind.SLIN8, bytes(320)))

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes % FRAME_BYTES == HANGUP_BYTES and data.endswith(encode(Kind.HANGUP)):  # all else is frames
            self._over("hung up")
        due = [enough for until, enough in self._waiting if until <= self._bytes]
        self._waiting = [(until, enough) for until, enough in self._waiting if until > self._bytes]
        for enough in due:
            enough.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._over(repr(error) if error else "closed")

    def _over(self, end: str) -> None:
        self.end = self.end or end
        for _, waiting in self._waiting:
            waiting.set_exception(AssertionError(end))
        self._waiting.clear()


def is_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
