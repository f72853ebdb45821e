"""chan_websocket's decoder: any cut of the bytes gives the same messages, and ends at the same wrong byte."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "bridge.line.websocket"):
    from bridge.line.audiosocket import Message
    from bridge.line.websocket import MESSAGE_BYTES, RATE_OF_FORMAT, Control, Decoder, WrongBytes, read_event


def _frame(first: int, payload: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + mask + masked


SEEDS: Final = (
    b"\x01" + _frame(0x81, b'{"event":"MEDIA_START","format":"slin16"}') + _frame(0x82, bytes(640)),
    b"\x02" + _frame(0x89, b"ping") + _frame(0x8A, b"") + _frame(0x88, b"\x03\xe8"),
)


def _read(chunks: Iterable[bytes]) -> tuple[list[Message], str, int]:
    """Returns the messages of a stream, what is wrong with it, and the rate of its sound."""
    decoder, messages = Decoder(), []
    try:
        for chunk in chunks:
            for message in decoder.feed(chunk):
                messages.append(message)
                if message.kind == Control.TEXT:  # the server takes the rate from it before it reads on
                    event = read_event(message.payload)
                    assert isinstance(event["event"], str)
                    decoder.rate_hz = RATE_OF_FORMAT.get(str(event.get("format")), decoder.rate_hz)
    except WrongBytes as error:
        return messages, str(error), decoder.rate_hz
    return messages, "", decoder.rate_hz


def check(data: bytes) -> None:
    how, stream = chosen(data)
    messages, wrong, rate_hz = _read([stream])
    assert all(len(message.payload) <= MESSAGE_BYTES for message in messages)
    assert _read(pieces(stream, how)) == (messages, wrong, rate_hz)


if __name__ == "__main__":
    fuzz(check, SEEDS)
