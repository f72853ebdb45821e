"""Listening sockets that keep a descriptor in reserve, so that nobody is left hanging when descriptors run out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from bridge.line.sparse_log import SparseLog

log = structlog.get_logger(__name__)

BACKLOG: Final = 1024
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)


class Doorway(socket.socket):
    """A listening socket. A connection for which there is no descriptor is told `goodbye` and closed."""

    def __init__(self, fileno: int, goodbye: bytes, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(fileno=fileno)
        self.goodbye = goodbye
        self._log = SparseLog(now_s)
        self._reserve = -1
        self._take_reserve()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accepts a connection. Raises BlockingIOError if none waits, or if there is no descriptor for it."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
        self._turn_away()
        raise BlockingIOError  # the event loop asks again in its next turn

    def close(self) -> None:
        """Closes the socket and gives the reserve back."""
        self._release()
        super().close()

    def _turn_away(self) -> None:
        self._release()
        with contextlib.suppress(OSError):  # such as the peer's having gone, or another thread's being faster
            connection, _ = super().accept()
            self._log.write(log.error, "no descriptors are left: connections are turned away")
            with connection:
                connection.setblocking(False)
                connection.sendall(self.goodbye)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65_536)  # to close with data unread would reset the connection
        self._take_reserve()

    def _take_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _release(self) -> None:
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1


async def open_doorways(host: str, port: int, goodbye: bytes, inherited: Sequence[int] = ()) -> list[Doorway]:
    """Returns a socket bound to each address of `host`, for `loop.create_server`. Raises OSError.

    `inherited` are descriptors of such sockets, where another process had them and gave them to this one.
    """
    if inherited:
        return [Doorway(descriptor, goodbye) for descriptor in inherited]
    bound = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    try:
        return [Doorway(os.dup(sock.fileno()), goodbye) for sock in bound.sockets]
    finally:
        bound.close()


def raise_descriptor_limit() -> None:
    """Lets this process open as many descriptors as the system allows it. Every call needs one, or several."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
