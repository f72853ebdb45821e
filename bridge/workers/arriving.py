"""A connection that the supervisor has accepted, as it comes to the call's worker."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64decode
from collections.abc import Callable
from uuid import UUID

from bridge.line.connection import Connection
from bridge.line.server import AudioSocketServer
from bridge.line.websocket_connection import WebSocketConnection
from bridge.workers.control import Message


async def take(
    server: AudioSocketServer, accepted: socket.socket, message: Message, on_arrival: Callable[[], None]
) -> None:
    """Takes a connection, of AudioSocket or of the WebSocket that the message tells of, as if it came to `server`.

    `on_arrival` is called when it is about to be one of the server's.
    """
    if "media" in message:
        connection: Connection = WebSocketConnection(server, UUID(message["media"]))
    else:
        connection = Connection(server)
    arrival = _Arrival(connection, b64decode(message.get("data", "")), on_arrival)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: arrival, accepted)


class _Arrival(asyncio.Protocol):
    """Gives a connection what the supervisor has read from it, before anything else comes."""

    def __init__(self, connection: Connection, data: bytes, on_arrival: Callable[[], None]) -> None:
        self._connection, self._data, self._on_arrival = connection, data, on_arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._on_arrival()
        transport.set_protocol(self._connection)
        self._connection.connection_made(transport)
        if self._data:
            self._connection.data_received(self._data)
