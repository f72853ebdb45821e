"""Connections on which nothing comes, or whose answer nobody reads."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
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
UNREAD_S: Final = 120.0
"""By then the first seconds of every text are made, and who does not read is behind; mostly within 20 s."""
WORDS: Final = 10
OTHER_HOST: Final = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine, and to a server each address is a host."""
TEXT: Final = "This is a long text that nobody hears. " * 100
RECEIVE_BUFFER_BYTES: Final = 4_096


async def silent(target: Target, answers: Answers) -> None:
    """Connections without a word, and with half a request's head."""
    half = head(target, "GET", "/health")[:-4]
    async with _connections(target, 2 * SILENT, target.host) as connections:
        for connection in connections[::2]:
            await asyncio.get_running_loop().sock_sendall(connection, half)
        await asyncio.sleep(HOLD_S)
        for connection in connections:
            answers["closed" if _is_closed(connection) else "still open"] += 1


async def unread(target: Target, answers: Answers) -> None:
    """Long speech that another host asks for and does not read, while somebody else asks for a word."""
    async with _unread(target, OTHER_HOST):
        await _ask_for_words(target, answers)


async def unread_by_one_of_us(target: Target, answers: Answers) -> None:
    """The same from the address of the one who asks for a word, as behind a proxy, who is served before long and on."""
    since_s = time.monotonic()
    async with _unread(target, target.host):
        first: Answers = Counter()
        while not first["somebody else: 200"]:
            await _ask_for_words(target, first, 1)
            if time.monotonic() - since_s > UNREAD_S:
                answers["somebody else: never served"] += 1
                return
        await _ask_for_words(target, answers, WORDS)


@asynccontextmanager
async def _unread(target: Target, host: str) -> AsyncIterator[None]:
    async with _connections(target, UNREAD, host) as connections:
        for number, connection in enumerate(connections):
            body = json.dumps({"input": f"{number} " + TEXT, "response_format": "wav"}).encode()
            fields = {"Content-Type": "application/json"}
            request = head(target, "POST", "/v1/audio/speech", length=len(body), headers=fields)
            await asyncio.get_running_loop().sock_sendall(connection, request + body)
        yield


async def _ask_for_words(target: Target, answers: Answers, words: int = 1_000) -> None:
    for number in range(words):
        await ask_json(target, answers, "/v1/audio/speech", {"input": f"Word {number}."}, who="somebody else: ")
        await asyncio.sleep(0.5)


@asynccontextmanager
async def _connections(target: Target, number: int, host: str) -> AsyncIterator[list[socket.socket]]:
    """So many connections from `host` that buffer little, as far as the server takes them."""
    with ExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.bind((host, 0))
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
