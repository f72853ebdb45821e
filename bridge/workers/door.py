"""The AudioSocket port of a server with workers: it accepts connections and gives each away once its UUID is there.

The UUID is only looked at, so that whoever gets the connection reads it as if it had accepted it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog

from bridge.line.audiosocket import Kind, encode
from bridge.line.connection import UUID_DEADLINE_S
from bridge.line.doorway import BACKLOG, Doorway, open_doorways
from bridge.line.sparse_log import SparseLog

log = structlog.get_logger(__name__)

GOODBYE: Final = encode(Kind.HANGUP)
"""What a caller is told for whom there is no room."""
_HEAD: Final = encode(Kind.UUID, bytes(16))[:3]
UUID_MESSAGE_BYTES: Final = len(_HEAD) + 16
ACCEPTS_A_TURN: Final = 64
"""The connections accepted in one turn of the event loop."""

HandOver = Callable[[socket.socket, UUID | None], bool]
"""Gives a connection away, with the call's id where it has told one; tells whether anybody took it."""


class Door:
    """Listens for connections. Those that say nothing are closed in time, and there are never too many of them."""

    def __init__(self, hand_over: HandOver, max_waiting: int) -> None:
        self._hand_over = hand_over
        self._max_waiting = max_waiting
        self._strangers = SparseLog()
        self.doorways: list[Doorway] = []
        """What it listens on."""
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}

    async def start(self, host: str, port: int, doorways: Sequence[Doorway] = ()) -> int:
        """Starts to listen and returns the port, which the system chooses if `port` is 0. Raises OSError.

        `doorways` are the sockets to listen on, where there are some already.
        """
        self._loop = asyncio.get_running_loop()
        for doorway in doorways or await open_doorways(host, port, GOODBYE):
            doorway.setblocking(False)
            doorway.listen(BACKLOG)
            self._loop.add_reader(doorway, self._knocked, doorway)
            self.doorways.append(doorway)
        return int(self.doorways[0].getsockname()[1])

    def retire(self) -> None:
        """Stops to listen, for another process goes on. Who has knocked here is still let in."""
        for doorway in self.doorways:
            self._loop.remove_reader(doorway)
            doorway.close()
        self.doorways.clear()

    def close(self) -> None:
        """Stops to listen and closes what has told no UUID."""
        self.retire()
        for connection in tuple(self._waiting):
            self._no_longer_waits(connection)
            connection.close()

    def _knocked(self, doorway: Doorway) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connection, _ = doorway.accept()
            except OSError:  # nobody is left, or the peer has gone again
                return
            self.let_in(connection)

    def let_in(self, connection: socket.socket) -> None:
        """Has a connection wait here for its UUID, which gives it away."""
        connection.setblocking(False)
        if len(self._waiting) >= self._max_waiting:
            self._turn_away(connection)
            return
        # Readable means from here on: the whole message with the UUID is there, or the peer has gone.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, UUID_MESSAGE_BYTES)
        self._waiting[connection] = self._loop.call_later(UUID_DEADLINE_S, self._no_uuid, connection)
        self._loop.add_reader(connection, self._named, connection)

    def _named(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(UUID_MESSAGE_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._no_longer_waits(connection)
        with connection:
            if not data:
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            is_uuid = len(data) == UUID_MESSAGE_BYTES and data.startswith(_HEAD)
            if not self._hand_over(connection, UUID(bytes=data[len(_HEAD) :]) if is_uuid else None):
                self._strangers.write(log.error, "no worker takes a call")
                self._turn_away(connection)

    def _no_uuid(self, connection: socket.socket) -> None:
        self._strangers.write(log.info, "connection sent no UUID")
        self._no_longer_waits(connection)
        connection.close()

    def _no_longer_waits(self, connection: socket.socket) -> None:
        self._waiting.pop(connection).cancel()
        self._loop.remove_reader(connection)

    def _turn_away(self, connection: socket.socket) -> None:
        """Gives a call back to its dialplan."""
        with connection, contextlib.suppress(OSError):
            connection.send(GOODBYE)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)  # to close with data unread would reset the connection
