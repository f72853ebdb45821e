"""The network in memory treats a connection as TCP does, so that a run means something.

All sleeps here are of the virtual loop: they take no time, and what is due by then has happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.simulation.end import End
from tests.simulation.network import Host, Quality
from tests.simulation.virtual_loop import NothingLeft, VirtualLoop


class Peer(asyncio.Protocol):
    """Keeps what comes, and when."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.at_s: list[float] = []
        self.ended = False
        self.goes_on = False
        """Whether it leaves its side open when the other has ended."""
        self.lost: list[Exception | None] = []
        self.stopped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.end = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.at_s.append(asyncio.get_running_loop().time())

    def eof_received(self) -> bool:
        self.ended = True
        return self.goes_on

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)

    def pause_writing(self) -> None:
        self.stopped += 1

    def resume_writing(self) -> None:
        self.stopped -= 1


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(1)
    yield loop
    loop.close()


def _pair(loop: VirtualLoop, quality: Quality) -> tuple[Host, End, Peer, End, Peer]:
    host = loop.network.host("peer", ("10.0.0.9", 1))
    host.quality = quality
    ours, theirs = loop.network.pair(host, "call")
    us, them = Peer(), Peer()
    ours.open(us)
    theirs.open(them)
    return host, ours, us, theirs, them


def test_bytes_keep_their_order_however_late_and_in_pieces(loop: VirtualLoop) -> None:
    async def run() -> None:
        _, ours, _, _, them = _pair(loop, Quality(delay_ms=5, jitter_ms=50, split=0.5))
        for number in range(200):
            ours.write(bytes([number]) * 3)
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert b"".join(them.pieces) == b"".join(bytes([number]) * 3 for number in range(200))
        assert {1, 2} & set(map(len, them.pieces)), "nothing came in pieces"

    loop.run_until_complete(run())


def test_a_connection_overtakes_another(loop: VirtualLoop) -> None:
    async def run() -> None:
        host, first, _, _, them = _pair(loop, Quality(delay_ms=1, jitter_ms=50))
        second, theirs = loop.network.pair(host, "other")
        other = Peer()
        second.open(Peer())
        theirs.open(other)
        for _ in range(50):
            first.write(b"a")
            second.write(b"b")
            await asyncio.sleep(0.1)
        earlier = [a < b for a, b in zip(them.at_s, other.at_s, strict=True)]
        assert any(earlier)
        assert not all(earlier)

    loop.run_until_complete(run())


def test_whoever_writes_to_a_stalled_host_has_to_wait(loop: VirtualLoop) -> None:
    async def run() -> None:
        host, ours, us, _, them = _pair(loop, Quality(holds_bytes=100))
        ours.set_write_buffer_limits(high=0)
        loop.network.stall(host, 2.0)
        for _ in range(30):
            ours.write(bytes(10))
        assert us.stopped == 1
        await asyncio.sleep(1.9)
        assert them.pieces == []
        await asyncio.sleep(0.2)
        assert us.stopped == 0
        assert sum(map(len, them.pieces)) == 300

    loop.run_until_complete(run())


def test_a_close_comes_behind_all_that_was_written(loop: VirtualLoop) -> None:
    async def run() -> None:
        _, ours, us, _, them = _pair(loop, Quality(delay_ms=5, jitter_ms=5))
        ours.write(b"goodbye")
        ours.close()
        await asyncio.sleep(1)
        assert them.pieces == [b"goodbye"]
        assert them.ended
        assert us.lost == them.lost == [None]
        assert loop.network.resets_by_us == []
        assert loop.network.open_ends() == []

    loop.run_until_complete(run())


def test_bytes_that_nobody_reads_any_more_reset_the_connection(loop: VirtualLoop) -> None:
    async def run() -> None:
        _, ours, _, theirs, them = _pair(loop, Quality(delay_ms=5))
        them.goes_on = True
        theirs.write(b"on its way")
        ours.close()
        await asyncio.sleep(1)
        assert loop.network.resets_by_us == ["call"]
        assert isinstance(them.lost[0], ConnectionResetError)

    loop.run_until_complete(run())


def test_nobody_can_connect_to_a_host_that_was_killed(loop: VirtualLoop) -> None:
    async def run() -> None:
        host = loop.network.host("service", ("10.0.0.3", 80))
        host.accept = Peer
        us = Peer()
        await loop.create_connection(lambda: us, "10.0.0.3", 80)
        loop.network.kill(host)
        await asyncio.sleep(1)
        assert isinstance(us.lost[0], ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Peer, "10.0.0.3", 80)

    loop.run_until_complete(run())


def test_an_hour_takes_no_time_and_a_wait_without_end_is_told(loop: VirtualLoop) -> None:
    began_s = loop.time()
    loop.run_until_complete(asyncio.sleep(3_600))
    assert loop.time() - began_s == pytest.approx(3_600)
    waiting = loop.create_future()
    with pytest.raises(NothingLeft):
        loop.run_until_complete(waiting)
