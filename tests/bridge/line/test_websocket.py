"""chan_websocket's wire without a socket: whatever pieces it comes in, and whatever is wrong with it."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.line.audiosocket import Kind, Message
from bridge.line.websocket import Control, Decoder, Opcode, WrongBytes, command, encode, read_event


def masked(opcode: int, payload: bytes = b"", *, first: int | None = None, mask: bytes = b"\x5a\x00\xff\x13") -> bytes:
    """A frame as Asterisk, the client, sends it."""
    length = len(payload)
    sizes = bytes((0x80 | length,)) if length <= 125 else bytes((0x80 | 126,)) + struct.pack(">H", length)
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes((0x80 | opcode if first is None else first,)) + sizes + mask + body


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=700)), max_size=6),
    st.lists(st.integers(1, 400), max_size=20),
)
def test_the_same_messages_come_out_however_the_stream_is_cut(
    messages: list[tuple[Opcode, bytes]], cuts: list[int]
) -> None:
    stream, decoder, came = b"".join(masked(*message) for message in messages), Decoder(), []
    for cut in (*cuts, len(stream)):
        came += decoder.feed(stream[:cut])
        stream = stream[cut:]
    kinds = {Opcode.TEXT: Control.TEXT, Opcode.BINARY: Kind.SLIN8}
    assert came == [Message(kinds[opcode], payload) for opcode, payload in messages]


def test_sound_has_the_kind_of_its_rate() -> None:
    decoder = Decoder()
    decoder.rate_hz = 16_000
    assert list(decoder.feed(masked(Opcode.BINARY, bytes(640)))) == [Message(Kind.SLIN16, bytes(640))]


def test_no_more_messages_are_given_than_were_asked_for_and_the_rest_later() -> None:
    decoder = Decoder()
    assert len(list(decoder.feed(masked(Opcode.PING) * 5, most=3))) == 3
    assert len(list(decoder.feed(b"", most=3))) == 2


@pytest.mark.parametrize(
    "data",
    [
        encode(Opcode.BINARY, bytes(320)),  # no mask
        masked(Opcode.BINARY, b"12", first=0x02),  # the beginning of a message in pieces
        masked(0x0, b"12"),  # the rest of one
        masked(Opcode.BINARY, b"12", first=0xC2),  # compressed
        masked(0x3, b"12"),
        masked(Opcode.PING, bytes(126)),
        bytes((0x82, 0xFF)) + struct.pack(">Q", 1 << 40) + bytes(4),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_wrong_bytes_are_told(data: bytes) -> None:
    with pytest.raises(WrongBytes):
        list(Decoder().feed(data))


@pytest.mark.parametrize("text", [b"MEDIA_START channel:1", b"[]", b"{}", b'{"event": 1}', b"\xff", b"[" * 9_000])
def test_a_text_that_is_no_event_is_told(text: bytes) -> None:
    with pytest.raises(WrongBytes):
        read_event(text)


def test_commands_are_json_that_fits_asterisks_128_bytes() -> None:
    frame = command("MARK_MEDIA", correlation_id="1234567")
    assert frame[0] == 0x81
    assert len(frame) - 2 == frame[1] <= 125
    assert json.loads(frame[2:]) == {"command": "MARK_MEDIA", "correlation_id": "1234567"}


def test_a_frame_of_sound_is_one_write_with_an_unmasked_header() -> None:
    assert encode(Opcode.BINARY, bytes(320)) == b"\x82\x7e\x01\x40" + bytes(320)
