"""The HTTP server's connections: so many at once, none that sends no request, none that is idle for long."""

from __future__ import annotations

import asyncio
import json
from typing import Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from bridge.line.doorway import BACKLOG, open_doorways
from engine.web.errors import queue_full
from engine.web.server import CONNECTION, create_runner

HEADERS_S: Final = 10.0
"""How long a request's line and headers may take."""
IDLE_S: Final = 60.0
"""How long a connection may wait for its next request."""
_FAULT: Final = queue_full("too many connections")
_BODY: Final = json.dumps(_FAULT.body())
BUSY: Final = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in _FAULT.headers.items())
    + f"Content-Length: {len(_BODY)}\r\n\r\n{_BODY}"
).encode()
"""What a client is told for whom there is no room."""


class _Refused(asyncio.Protocol):
    """A connection too many, which is being closed."""


class _Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_deadline", "_limit", "_seen")

    def __init__(self, server: Server, limit: int) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, keepalive_timeout=IDLE_S, **CONNECTION)
        self._limit = limit
        self._deadline: asyncio.TimerHandle | None = None
        self._seen = 0
        """The number of requests whose headers have come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self._manager is not None
        if len(self._manager.connections) >= self._limit:
            refused = cast(asyncio.Transport, transport)
            refused.set_protocol(_Refused())
            refused.write(BUSY)
            refused.close()
            return
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._request_count != self._seen:
            self._seen = self._request_count
            self._forget_deadline()
        elif self._deadline is None and self._waiter is not None:  # the beginning of another request
            self._expect_headers()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._deadline = self._loop.call_later(HEADERS_S, self.force_close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class HttpServer:
    """Serves an application on an address."""

    def __init__(self, app: web.Application, max_connections: int) -> None:
        self.app = app
        self._runner = create_runner(app)
        self._max_connections = max_connections
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str, port: int) -> int:
        """Starts to listen and returns the port, which the system chooses if `port` is 0. Raises OSError."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for doorway in await open_doorways(host, port, BUSY):
            self._servers.append(await loop.create_server(self._connection, sock=doorway, backlog=BACKLOG))
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def close(self, timeout_s: float) -> None:
        """Stops to listen, lets requests end for at most twice `timeout_s`, and closes the application."""
        for server in self._servers:
            server.close()
        if self._runner.server is not None:
            self._runner.server.pre_shutdown()
            # aiohttp waits this long for the answers to be sent, and as long again once it has given them up.
            await self._runner.server.shutdown(timeout_s)
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        return _Connection(self._runner.server, self._max_connections)
