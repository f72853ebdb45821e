"""Opens the HTTP connections to the services of a conversation, so that no answer holds up the calls."""

from __future__ import annotations

import socket
from functools import partial
from typing import Final

import aiohttp
from aiohttp import AddrInfoType

ANSWER_BYTES: Final = 8_192
"""What the kernel takes of an answer before it is read. All of it is read at once: of a megabyte of the shortest
messages no call would hear anything until they are through."""
EVENTS_BYTES: Final = 1_024
"""The same of a recogniser's WebSocket, whose shortest message is two bytes long and takes 15 µs to read. Linux takes
twice as much, its least."""
SOUND_BYTES: Final = 16_384
"""The same of a service that speaks: its sound is 64 KB a second, and an answer of the network may take 200 ms."""


def open_session(received_bytes: int) -> aiohttp.ClientSession:
    """Returns a session that keeps no cookies, for one set in one call must not be sent in another."""
    connector = aiohttp.TCPConnector(limit=0, socket_factory=partial(_open_socket, received_bytes))
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _open_socket(received_bytes: int, address: AddrInfoType) -> socket.socket:
    connection = socket.socket(*address[:3])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
    return connection
