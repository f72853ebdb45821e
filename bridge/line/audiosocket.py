"""The AudioSocket wire protocol: `kind:u8, length:u16 big-endian, payload`. Source: Asterisk's res_audiosocket."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

FRAME_MS: Final = 20
"""The duration of every wire frame that we send. Asterisk's own may differ: they follow the caller's ptime."""

_HEADER: Final = struct.Struct(">BH")


class Kind(IntEnum):
    """The message kinds that Asterisk knows. We skip any other kind from it; it drops the call on any other from us."""

    HANGUP = 0x00
    UUID = 0x01
    DTMF = 0x03
    SLIN8 = 0x10
    SLIN12 = 0x11
    SLIN16 = 0x12
    SLIN24 = 0x13
    SLIN32 = 0x14
    SLIN44 = 0x15
    SLIN48 = 0x16
    SLIN96 = 0x17
    SLIN192 = 0x18
    ERROR = 0xFF


RATE_HZ: Final[dict[int, int]] = {
    Kind.SLIN8: 8_000,
    Kind.SLIN12: 12_000,
    Kind.SLIN16: 16_000,
    Kind.SLIN24: 24_000,
    Kind.SLIN32: 32_000,
    Kind.SLIN44: 44_100,
    Kind.SLIN48: 48_000,
    Kind.SLIN96: 96_000,
    Kind.SLIN192: 192_000,
}
KIND_OF_RATE: Final[dict[int, int]] = {rate_hz: int(kind) for kind, rate_hz in RATE_HZ.items()}


class Message(NamedTuple):
    """One message off the wire. `kind` need not be one of `Kind`; audio is 16-bit signed little-endian mono."""

    kind: int
    payload: bytes


def encode(kind: int, payload: bytes = b"") -> bytes:
    """Returns header and payload, to be sent in one write: Asterisk waits only 5 ms for the rest of a message."""
    return _HEADER.pack(kind, len(payload)) + payload


class Decoder:
    """Cuts a byte stream into messages, in whatever pieces the stream arrives."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0

    @property
    def mid_message(self) -> bool:
        """Tells whether data is left, so that an EOF now would break a message off."""
        return self._start < len(self._data)

    def feed(self, data: bytes, most: int | None = None) -> list[Message]:
        """Returns the messages that `data` completes, in order, and keeps those after the first `most` for later."""
        if data:
            self._data, self._start = self._data[self._start :] + data, 0
        messages: list[Message] = []
        while len(messages) != most and len(self._data) - self._start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._data, self._start)
            payload = self._start + _HEADER.size
            if payload + length > len(self._data):
                break
            messages.append(Message(kind, self._data[payload : payload + length]))
            self._start = payload + length
        if len(messages) != most:
            self._data, self._start = self._data[self._start :], 0
        return messages
