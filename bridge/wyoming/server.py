"""The Wyoming server: so many connections at once, each served by itself until it ends or the server stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from bridge.http.connection import UNSENT_BYTES
from bridge.line.doorway import BACKLOG, Doorway, open_doorways
from bridge.wyoming.connection import WyomingConnection
from bridge.wyoming.events import EventReader
from bridge.wyoming.voices import ListedVoices
from engine.api.service import SpeechService

GOODBYE: Final = b""
"""What a client is told for whom there is no descriptor."""


class WyomingServer:
    """Serves a speech service to Wyoming clients on an address."""

    def __init__(self, service: SpeechService, max_connections: int) -> None:
        self.service = service
        self._voices = ListedVoices(service)
        self._max_connections = max_connections
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self.doorways: list[Doorway] = []
        """What it listens on."""
        self._serving: dict[asyncio.Task[None], WyomingConnection] = {}

    async def start(self, host: str, port: int, doorways: Sequence[Doorway] = ()) -> None:
        """Starts to listen, on a port that the system chooses if `port` is 0. Raises OSError.

        `doorways` are the sockets to listen on, where there are some already.
        """
        loop = asyncio.get_running_loop()
        for doorway in doorways or await open_doorways(host, port, GOODBYE):
            self._servers.append(await loop.create_server(self._protocol, sock=doorway, backlog=BACKLOG))
            self.doorways.append(doorway)
        self.port = int(self._servers[0].sockets[0].getsockname()[1])

    def retire(self) -> None:
        """Stops to listen, for another process goes on, and ends each connection once nothing is spoken on it."""
        for server in self._servers:
            server.close()
        self.doorways.clear()
        for connection in self._serving.values():
            connection.finish()

    async def close(self, timeout_s: float) -> None:
        """Stops to listen, lets what is being spoken end within `timeout_s`, and closes every connection."""
        self.retire()
        tasks = list(self._serving)
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, timeout_s))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.Protocol:
        reader = EventReader()
        return asyncio.StreamReaderProtocol(reader, lambda _, writer: self._connected(reader, writer))

    def _connected(self, reader: EventReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= self._max_connections:
            writer.close()
            return
        with suppress(AttributeError, OSError):  # Linux has it; a server works without it
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        writer.transport.set_write_buffer_limits(high=0)  # what waits here would count as read
        connection = WyomingConnection(self.service, self._voices, reader, writer)
        task = asyncio.create_task(connection.serve())
        self._serving[task] = connection
        task.add_done_callback(self._serving.pop)
