"""The wire codec, byte by byte."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.line.audiosocket import KIND_OF_RATE, RATE_HZ, Decoder, Kind, Message, encode

MESSAGES = st.lists(st.builds(Message, st.integers(0, 255), st.binary(max_size=700)), max_size=8)


def test_encodes_as_asterisk_reads_it():
    assert encode(Kind.SLIN8, b"\x01\x02") == b"\x10\x00\x02\x01\x02"
    assert encode(Kind.HANGUP) == b"\x00\x00\x00"
    assert encode(Kind.SLIN192, bytes(7680))[:3] == b"\x18\x1e\x00"


def test_refuses_a_payload_longer_than_its_length_field():
    with pytest.raises(Exception, match="65535"):
        encode(Kind.SLIN8, bytes(65_536))


def test_decodes_uuid_and_digit():
    call_id = UUID("01234567-89ab-cdef-0123-456789abcdef")
    messages = Decoder().feed(b"\x01\x00\x10" + call_id.bytes + b"\x03\x00\x017")
    assert messages == [(Kind.UUID, call_id.bytes), (Kind.DTMF, b"7")]


@given(MESSAGES, st.data())
def test_any_split_of_the_stream_gives_the_same_messages(messages, data):
    stream = b"".join(encode(kind, payload) for kind, payload in messages)
    decoder, decoded, start = Decoder(), [], 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        decoded += decoder.feed(stream[start:end])
        start = end
    assert decoded == messages
    assert not decoder.mid_message


def test_what_is_not_wanted_yet_comes_with_the_next_data():
    stream = b"".join(encode(Kind.DTMF, b"%d" % digit) for digit in range(5))
    decoder, decoded = Decoder(), []
    for data in (stream[:-1], b"", stream[-1:]):
        messages = decoder.feed(data, 2)
        assert len(messages) <= 2
        decoded += messages
    assert decoded == [(Kind.DTMF, b"%d" % digit) for digit in range(5)]
    assert not decoder.mid_message


def test_knows_when_it_stands_inside_a_message():
    decoder = Decoder()
    assert decoder.feed(b"\x10\x00\x02\x01") == []
    assert decoder.mid_message


def test_every_audio_kind_has_its_rate_and_back():
    assert [RATE_HZ[kind] for kind in range(0x10, 0x19)] == [
        8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000,
    ]  # fmt: skip
    assert all(KIND_OF_RATE[rate_hz] == kind for kind, rate_hz in RATE_HZ.items())
