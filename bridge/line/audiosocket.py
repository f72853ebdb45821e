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
        self._partial = b""

    @property
    def mid_message(self) -> bool:
        """Tells whether the stream has ended inside a message, so that an EOF now would break it off."""
        return bool(self._partial)

    def feed(self, data: bytes) -> list[Message]:
        """Returns the messages that `data` completes, in order."""
        if self._partial:
            data = self._partial + data
        messages: list[Message] = []
        start, available = 0, len(data)
        while available - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, start)
            end = start + _HEADER.size + length
            if end > available:
                break
            messages.append(Message(kind, data[start + _HEADER.size : end]))
            start = end
        self._partial = data[start:]
        return messages
