"""Opens the HTTP connections to the services of a conversation, so that no answer holds up the calls."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp import AddrInfoType, ClientResponse, WSCloseCode

from engine.speech import Priority
from engine.web.sliced_reading import SlicedReading

ANSWER_BYTES: Final = 8_192
"""What the kernel takes of an answer before it is read. All of it is read at once, but for WebSockets: of a megabyte of
the shortest pieces no call would hear anything until they are through."""
EVENTS_BYTES: Final = 1_024
"""The same of a recogniser's WebSocket: its words are few, and it is held back where it sends more. Linux takes twice
as much, its least."""
SOUND_BYTES: Final = 16_384
"""The same of a service that speaks: its sound is 64 KB a second, and an answer of the network may take 200 ms."""

CLOSE_S: Final = 0.5


def open_session(received_bytes: int) -> aiohttp.ClientSession:
    """Returns a session that keeps no cookies, for one set in one call must not be sent in another."""
    connector = aiohttp.TCPConnector(limit=0, socket_factory=partial(_open_socket, received_bytes))
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), ws_response_class=ServiceSocket
    )


def _open_socket(received_bytes: int, address: AddrInfoType) -> socket.socket:
    connection = socket.socket(*address[:3])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
    return connection


class ServiceSocket(aiohttp.ClientWebSocketResponse):
    """A service's WebSocket. A little of it is read in each turn of the event loop, and no service keeps it open."""

    def __init__(self, reader: Any, writer: Any, protocol: Any, response: ClientResponse, *args: Any, **named: Any):
        connection = response.connection
        assert connection is not None
        handler, transport = connection.protocol, connection.transport
        assert handler is not None
        assert transport is not None
        # aiohttp would read at once all that came right behind the headers of the answer.
        behind, handler._tail = handler._tail, b""
        SlicedReading(lambda: handler, Priority.CALL).step_in(transport, behind)
        super().__init__(reader, writer, protocol, response, *args, **named)

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"") -> bool:
        """Closes the connection within CLOSE_S.

        aiohttp waits so long for each message before the service's own goodbye: whoever sends on would never be left,
        and the call that has given its service up would wait in silence.
        """
        try:
            async with asyncio.timeout(CLOSE_S):
                return await super().close(code=code, message=message)
        except TimeoutError:  # cancelled, it has dropped the connection
            return True
