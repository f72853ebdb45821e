"""AudioSocket's decoder: any cut of the bytes gives the same messages, and they are the bytes."""

from __future__ import annotations

from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "bridge.line.audiosocket"):
    from bridge.line.audiosocket import Decoder, Kind, encode

MOST_BYTES: Final = 800
"""Some messages with sound. To take longer streams apart, byte by byte, shows nothing new."""
SEEDS: Final = (
    b"\x01" + encode(Kind.UUID, bytes(16)) + encode(Kind.SLIN8, bytes(320)) + encode(Kind.HANGUP),
    b"\x02" + encode(Kind.DTMF, b"5") + encode(Kind.ERROR, b"\x01") + encode(0x77, b"unknown") + b"\x10\xff",
)


def check(data: bytes) -> None:
    how, stream = chosen(data[:MOST_BYTES])
    whole, cut, slow = Decoder(), Decoder(), Decoder()
    messages = whole.feed(stream)
    read = b"".join(encode(*message) for message in messages)
    assert stream.startswith(read)
    rest = stream[len(read) :]
    assert whole.mid_message == bool(rest)
    assert len(rest) < 3 or len(rest) < 3 + int.from_bytes(rest[1:3], "big")
    assert [message for piece in pieces(stream, how) for message in cut.feed(piece)] == messages
    one_by_one = slow.feed(stream, 1)
    while one := slow.feed(b"", 1):
        one_by_one += one
    assert one_by_one == messages


if __name__ == "__main__":
    fuzz(check, SEEDS)
