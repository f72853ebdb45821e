"""Connections on which nothing comes, or whose answer nobody reads."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import ask_json, head

SILENT: Final = 150
"""Of each kind."""
HOLD_S: Final = 12.0
"""Longer than a server should wait for a request's head."""
UNREAD: Final = 64
TEXT: Final = "This is a long text that nobody hears. " * 100
RECEIVE_BUFFER_BYTES: Final = 4_096


async def silent(target: Target, answers: Answers) -> None:
    """Connections without a word, and with half a request's head."""
    half = head(target, "GET", "/health")[:-4]
    async with _connections(target, 2 * SILENT) as connections:
        for connection in connections[::2]:
            await asyncio.get_running_loop().sock_sendall(connection, half)
        await asyncio.sleep(HOLD_S)
        for connection in connections:
            answers["closed" if _is_closed(connection) else "still open"] += 1


async def unread(target: Target, answers: Answers) -> None:
    """Long speech that is asked for and not read, while somebody else asks for a word."""
    async with _connections(target, UNREAD) as connections:
        for number, connection in enumerate(connections):
            body = json.dumps({"input": f"{number} " + TEXT, "response_format": "wav"}).encode()
            fields = {"Content-Type": "application/json"}
            request = head(target, "POST", "/v1/audio/speech", length=len(body), headers=fields)
            await asyncio.get_running_loop().sock_sendall(connection, request + body)
        for number in range(1_000):
            await ask_json(target, answers, "/v1/audio/speech", {"input": f"Word {number}."}, who="somebody else: ")
            await asyncio.sleep(0.5)


@asynccontextmanager
async def _connections(target: Target, number: int) -> AsyncIterator[list[socket.socket]]:
    """So many connections that buffer little, as far as the server takes them."""
    with ExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            await asyncio.get_running_loop().sock_connect(connection, (target.host, target.http_port))
            connections.append(connection)
        yield connections


def _is_closed(connection: socket.socket) -> bool:
    """The server has ended it, with or without a word."""
    try:
        while connection.recv(2**16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
