"""One HTTP client's connection: there must be room for it, and its requests' headers must come in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from engine.loop_share import SHARE_S, loop_share
from engine.speech import Priority
from engine.web.errors import queue_full
from engine.web.sliced_reading import SlicedReading

REQUEST_S: Final = SHARE_S / 4
"""What a request counts of a turn of the event loop, however many connections it comes on."""
UNSENT_BYTES: Final = 65_536
"""What the kernel may keep for a client that does not read. By itself it takes megabytes, a minute of speech, and it
would be noticed only after that minute that nobody reads."""
_FAULT: Final = queue_full("too many connections")
_BODY: Final = json.dumps(_FAULT.body())
BUSY: Final = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in _FAULT.headers.items())
    + f"Content-Length: {len(_BODY)}\r\n\r\n{_BODY}"
).encode()
"""What a client is told for whom there is no room."""


class HttpConnection(SlicedReading):
    """Stands before aiohttp's own protocol. Its application must have `note_request` as a middleware."""

    def __init__(self, server: web.Server, max_connections: int, headers_s: float) -> None:
        super().__init__(server)
        self._server = server
        self._max_connections = max_connections
        self._headers_s = headers_s
        self._deadline: asyncio.TimerHandle | None = None
        self._begun = False
        """A request has come."""
        self.busy = False
        """A request's headers have come, and it is not answered yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._server.connections) >= self._max_connections:
            refused = cast(asyncio.Transport, transport)
            refused.set_protocol(asyncio.Protocol())
            refused.write(BUSY)
            refused.close()
            return
        with contextlib.suppress(AttributeError, OSError):  # Linux has it; a server works without it
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        if not self.busy and self._deadline is None:  # the beginning of another request
            self._expect_headers()
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(error)

    def leave(self) -> None:
        """Closes the connection if a request was answered and no other has begun."""
        if self._begun and not self.busy and self._deadline is None:
            self._transport.close()

    def begin(self) -> None:
        """Notes that a request's headers have come."""
        self.busy = self._begun = True
        self._forget_deadline()

    def _expect_headers(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(self._headers_s, self._transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tells the connection of a request when its headers have come and when it has been handled."""
    connection = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(connection, HttpConnection):
        return await handler(request)  # the client has left already
    connection.begin()
    try:
        await loop_share().turn(Priority.HTTP, REQUEST_S)
        return await handler(request)
    finally:
        connection.busy = False
