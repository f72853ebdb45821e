"""What each toxic of the proxy does to a connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.toxic_proxy import ToxicProxy

SAID = b"abcdefgh" * 512
PATIENCE_S = 30


@asynccontextmanager
async def echoing() -> AsyncIterator[ToxicProxy]:
    """A neighbour that sends back what it gets, behind a proxy."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ToxicProxy.before("127.0.0.1", port) as proxy:
        yield proxy


async def echoed(proxy: ToxicProxy, data: bytes = SAID) -> bytes:
    """What comes back, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()


async def test_without_a_toxic_all_passes() -> None:
    async with echoing() as proxy:
        assert await echoed(proxy) == SAID


@pytest.mark.parametrize(
    "toxic", [{"slice_bytes": 100, "slice_pause_ms": 0.0}, {"latency_ms": 50.0, "jitter_ms": 10.0}]
)
async def test_late_and_sliced_bytes_come_whole(toxic: dict[str, float]) -> None:
    async with echoing() as proxy:
        for name, value in toxic.items():
            setattr(proxy.down, name, value)
        assert await echoed(proxy) == SAID


async def test_latency_and_bandwidth_take_their_time() -> None:
    async with echoing() as proxy:
        proxy.up.latency_ms, proxy.down.bandwidth_kb_s = 100.0, 20.0
        since_s = time.monotonic()
        assert await echoed(proxy) == SAID
        assert time.monotonic() - since_s > 0.1 + len(SAID) / 20_000


async def test_garbled_bytes_are_as_many_and_others() -> None:
    async with echoing() as proxy:
        proxy.down.garbled = 1.0
        heard = await echoed(proxy)
        assert len(heard) == len(SAID)
        assert heard != SAID
        proxy.heal()
        assert await echoed(proxy) == SAID


async def test_a_stopped_network_goes_on_where_it_stopped() -> None:
    async with echoing() as proxy:
        proxy.down.stopped = True
        waiting = asyncio.create_task(echoed(proxy))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        proxy.heal()
        assert await waiting == SAID


async def test_a_limit_ends_a_connection() -> None:
    async with echoing() as proxy:
        proxy.down.limit_bytes = 10
        assert len(await echoed(proxy, SAID * 20)) < len(SAID) * 20


async def test_connections_are_reset_and_refused() -> None:
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(1), PATIENCE_S) == b"x"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), PATIENCE_S)
        writer.close()
        proxy.refuses = True
        with pytest.raises(ConnectionResetError):
            await echoed(proxy)
