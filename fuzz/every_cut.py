"""Every short stream of AudioSocket's bytes, in every cut: python -m fuzz.every_cut --bytes 9

What a payload holds makes no difference to the decoder, and kinds and lengths make all: a few values of a byte are
enough to begin, break off and join messages in all ways. So this tries what a fuzzer could only hit by chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Final, Protocol

from bridge.line.audiosocket import Decoder, Message
from tests.support.numbered_work import Failed, in_processes

VALUES: Final = (0, 1, 2, 255)
"""An end, an id or a length; a length; a payload; an error or a length that never comes."""

FIRST_BYTES: Final = 5
"""Streams that begin with the same bytes go to one process: 1,024 beginnings keep all of them busy to the end."""


class StreamDecoder(Protocol):
    """What is tried."""

    def feed(self, data: bytes) -> list[Message]: ...


def cuts(size: int) -> Iterator[list[tuple[int, int]]]:
    """Yields every way to cut so many bytes into pieces, as the pieces' beginnings and ends."""
    for ends in product((False, True), repeat=size - 1):
        places = [0, *(at for at, is_end in enumerate(ends, 1) if is_end), size]
        yield list(pairwise(places))


def try_every_cut(
    size: int, values: Sequence[int] = VALUES, decoder: type[StreamDecoder] = Decoder, first: bytes = b""
) -> int:
    """Decodes every stream of `size` bytes of these values in every cut. Returns how many connections that were.

    `first` limits it to the streams that begin so. Raises AssertionError for one that gives other messages than the
    same bytes in one piece.
    """
    ways = list(cuts(size))
    connections = 0
    for rest in product(values, repeat=size - len(first)):
        stream = first + bytes(rest)
        whole = decoder().feed(stream)
        for way in ways:
            feed = decoder().feed
            messages: list[Message] = []
            for start, end in way:
                messages += feed(stream[start:end])
            assert messages == whole, f"{stream.hex()} in pieces {way}: {messages}, and in one {whole}"
        connections += len(ways)
    return connections


def try_in_processes(size: int, jobs: int) -> int:
    """Does the same in several processes, each of which takes the streams that begin in one way after the other."""
    beginnings = [bytes(first) for first in product(VALUES, repeat=min(size, FIRST_BYTES))]
    connections = 0
    for number, done in in_processes(
        lambda number: try_every_cut(size, first=beginnings[number]), range(len(beginnings)), jobs
    ):
        assert not isinstance(done, Failed), f"streams that begin with {beginnings[number].hex()}: {done.reason}"
        connections += done
    return connections


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.every_cut", description=__doc__.partition("\n")[0])
    parser.add_argument("--bytes", type=int, default=8, help="the longest stream (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    arguments = parser.parse_args()
    for size in range(1, arguments.bytes + 1):
        began_s = time.perf_counter()
        connections = try_in_processes(size, arguments.jobs)
        print(f"{size} bytes: {connections:,} connections, {time.perf_counter() - began_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
