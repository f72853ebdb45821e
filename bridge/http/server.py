"""The HTTP server: so many connections at once, none that sends no request, none that is idle for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from weakref import WeakSet

from aiohttp import web

from bridge.http.connection import BUSY, HttpConnection, note_request
from bridge.http.unreadable_requests import log_sparsely
from bridge.line.doorway import BACKLOG, Doorway, open_doorways
from engine.web.server import KEEP_ALIVE_S, create_runner

HEADERS_S: Final = 10.0
"""How long a request's line and headers may take."""


class HttpServer:
    """Serves an application on an address."""

    def __init__(
        self,
        app: web.Application,
        max_connections: int,
        *,
        headers_s: float = HEADERS_S,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self.app = app
        app.middlewares.insert(0, note_request)
        app.on_response_prepare.append(self._send_away)
        self._runner = create_runner(app, keep_alive_s)
        self._max_connections = max_connections
        self._headers_s = headers_s
        self._retired = False
        self._connections: WeakSet[HttpConnection] = WeakSet()
        self._servers: list[asyncio.Server] = []
        self.doorways: list[Doorway] = []
        """What it listens on."""

    async def start(self, host: str, port: int, doorways: Sequence[Doorway] = ()) -> int:
        """Starts to listen and returns the port, which the system chooses if `port` is 0. Raises OSError.

        `doorways` are the sockets to listen on, where there are some already.
        """
        log_sparsely()
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for doorway in doorways or await open_doorways(host, port, BUSY):
            self._servers.append(await loop.create_server(self._connection, sock=doorway, backlog=BACKLOG))
            self.doorways.append(doorway)
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def start_locally(self, path: Path) -> None:
        """Starts to listen on a Unix socket, for another process of this server. Raises OSError."""
        log_sparsely()
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self._connection, path, backlog=BACKLOG))

    def retire(self) -> None:
        """Stops to listen, for another process goes on: each client's next request is to reach that one.

        Whoever is connected is answered once more and then sent away, and those that have been answered at once.
        """
        for server in self._servers:
            server.close()
        self.doorways.clear()
        self._retired = True
        for connection in self._connections:
            connection.leave()

    async def _send_away(self, request: web.Request, response: web.StreamResponse) -> None:
        if self._retired and not isinstance(response, web.WebSocketResponse):
            response.force_close()
            response.headers["Connection"] = "close"

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
        connection = HttpConnection(self._runner.server, self._max_connections, self._headers_s)
        self._connections.add(connection)
        return connection
