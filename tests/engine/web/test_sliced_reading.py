"""What one connection sends is handed on a little at a time, all of it and in order."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from engine.web.sliced_reading import SLICE_BYTES, SLICES, SlicedReading

DATA = bytes(range(256)) * 100


class Wire(asyncio.Transport):
    """A transport that notes whether it is being read."""

    def __init__(self) -> None:
        super().__init__({"peername": "here"})
        self.reading = True
        self._closing = False

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if self._closing:
            raise RuntimeError("as uvloop does")
        self.reading = True


class Reader(asyncio.Protocol):
    """A protocol that notes what it is handed, and in which turn of the event loop."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.turns: list[int] = []
        self.turn = 0
        self.stops_at: int | None = None
        self.closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport.get_extra_info("peername"), str)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.turns.append(self.turn)
        if self.closes:
            self.transport.close()
        if len(self.pieces) == self.stops_at:
            self.transport.pause_reading()  # type: ignore[attr-defined]

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


async def _turns(reader: Reader, number: int = 100) -> None:
    for _ in range(number):
        reader.turn += 1
        await asyncio.sleep(0)


def _connected() -> tuple[SlicedReading, Wire, Reader]:
    reader, wire = Reader(), Wire()
    reading = SlicedReading(lambda: reader)
    reading.connection_made(wire)
    return reading, wire, reader


async def test_little_is_handed_on_at_once() -> None:
    reading, wire, reader = _connected()
    reading.data_received(DATA[:SLICE_BYTES])
    assert reader.data == DATA[:SLICE_BYTES]
    assert wire.reading


async def test_much_is_handed_on_a_slice_a_turn_and_nothing_is_read_meanwhile() -> None:
    reading, wire, reader = _connected()
    reading.data_received(DATA)
    assert not wire.reading
    await _turns(reader)
    assert reader.data == DATA
    assert max(map(len, reader.pieces)) == SLICE_BYTES
    assert all(earlier < later for earlier, later in pairwise(reader.turns))
    assert wire.reading


async def test_a_protocol_that_wants_nothing_now_is_handed_nothing_until_it_does() -> None:
    reading, wire, reader = _connected()
    reader.stops_at = 2
    reading.data_received(DATA)
    await _turns(reader)
    assert reader.data == DATA[: 2 * SLICE_BYTES]
    assert not wire.reading
    reader.transport.resume_reading()  # type: ignore[attr-defined]
    await _turns(reader)
    assert reader.data == DATA
    assert wire.reading


async def test_what_comes_although_nothing_is_read_waits_for_its_turn() -> None:
    reading, wire, reader = _connected()
    reading.data_received(DATA)
    reading.data_received(b"more")
    await _turns(reader)
    assert reader.data == DATA + b"more"
    assert wire.reading


async def test_nothing_is_handed_on_once_the_connection_is_lost() -> None:
    reading, _, reader = _connected()
    reading.data_received(DATA)
    reading.connection_lost(None)
    await _turns(reader)
    assert reader.data == DATA[:SLICE_BYTES]


async def test_nothing_is_handed_on_once_the_protocol_has_closed_the_connection() -> None:
    reading, wire, reader = _connected()
    reader.closes = True
    reading.data_received(DATA)
    await _turns(reader)
    assert wire.is_closing()
    assert reader.data == DATA[:SLICE_BYTES]


async def test_of_many_connections_a_turn_reads_a_few_slices() -> None:
    reading, _, reader = _connected()
    others = [SlicedReading(lambda: reader) for _ in range(256)]
    for other in others:
        other.connection_made(Wire())
    for other in (reading, *others):
        other.data_received(b"GET / HTTP/1.1\r\n\r\n")
    await _turns(reader, 200)
    assert len(reader.pieces) == 257
    assert max(map(reader.turns.count, reader.turns)) <= SLICES
