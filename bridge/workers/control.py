"""What the supervisor and a worker tell each other over a pair of sockets, and the calls' connections that go with it.

Each message is a JSON object and one packet. A connection travels with its message, as SCM_RIGHTS (unix(7)).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

PACKET_BYTES: Final = 65_536
"""The longest message."""
ANNOUNCED: Final = "announced_call"
"""With a connection, the id of a call that was announced to whom it goes, and so counts there already."""
_CREDENTIALS: Final = struct.Struct("3i")
"""A process, its user and its group: unix(7)."""

Message = dict[str, Any]


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Returns the two ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def peer_pid(connection: socket.socket) -> int | None:
    """Returns which process is at the other end of a Unix socket; None where it is another user's."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(told)
    return int(pid) if user in (os.getuid(), 0) else None


class Control:
    """One end. It calls back with each message and the descriptor that came with it, and once the other is gone."""

    def __init__(
        self, sock: socket.socket, on_message: Callable[[Message, int | None], None], on_gone: Callable[[], None]
    ) -> None:
        self._sock, self._on_message, self._on_gone = sock, on_message, on_gone
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, descriptor: int | None = None) -> bool:
        """Sends a message; tells whether it went: it may be too long, the other end gone, or read nothing for long."""
        data = json.dumps(message).encode()
        if len(data) > PACKET_BYTES:  # its end would be cut off
            return False
        with contextlib.suppress(OSError):
            socket.send_fds(self._sock, [data], [] if descriptor is None else [descriptor])
            return True
        return False

    def close(self) -> None:
        """Closes this end."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _readable(self) -> None:
        descriptors: list[int] = []
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._on_gone()
            return
        try:
            self._on_message(json.loads(data), descriptors.pop() if descriptors else None)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
