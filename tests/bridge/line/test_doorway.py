"""Listening while this process really has no descriptor left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bridge.line.audiosocket import Kind, encode
from bridge.line.doorway import open_doorways, raise_descriptor_limit
from bridge.line.sparse_log import SparseLog

GOODBYE = encode(Kind.HANGUP)


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Lets no descriptor be opened within."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in opened:
            os.close(fd)


async def test_without_descriptors_everybody_is_told_goodbye_and_it_is_logged_once_a_second() -> None:
    loop = asyncio.get_running_loop()
    (doorway,) = await open_doorways("127.0.0.1", 0, GOODBYE)
    doorway._log = SparseLog(lambda: now_s)
    now_s = 0.0
    accepted = asyncio.Event()

    class Peer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set()

    server = await loop.create_server(Peer, sock=doorway, backlog=1024)
    callers = [socket.socket() for _ in range(20)]
    for caller in callers:
        caller.setblocking(False)
    with capture_logs() as logs, no_descriptors():
        for caller in callers:
            await loop.sock_connect(caller, doorway.getsockname())
            await loop.sock_sendall(caller, b"a UUID, say")
            assert await asyncio.wait_for(loop.sock_recv(caller, 100), 30) == GOODBYE
            assert await asyncio.wait_for(loop.sock_recv(caller, 100), 30) == b"", "closed in good order"
            if caller is callers[9]:
                now_s = 1.0
    assert not accepted.is_set()
    assert [entry["log_level"] for entry in logs] == ["error"] * 2
    assert sum(entry["connections"] for entry in logs) == 11, "nothing is logged of the last nine yet"
    _, writer = await asyncio.open_connection(*doorway.getsockname())
    await asyncio.wait_for(accepted.wait(), 30)
    writer.close()
    for caller in callers:
        caller.close()
    server.close()
    await server.wait_closed()


async def test_a_doorway_gives_its_descriptors_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for doorway in await open_doorways("localhost", 0, GOODBYE):
        doorway.close()
    assert len(os.listdir("/proc/self/fd")) <= before, "what an earlier test let go may have gone meanwhile"


def test_the_limit_is_as_high_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match="bind"):
        await open_doorways("192.0.2.1", 0, GOODBYE)
