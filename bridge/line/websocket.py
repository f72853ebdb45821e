"""The wire of Asterisk's chan_websocket: WebSocket frames (RFC 6455), sound in binary and JSON in text ones.

No I/O. This is the server's side; the upgrade from HTTP is aiohttp's work. Sources: Asterisk's chan_websocket and
res_http_websocket.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

from bridge.line.audiosocket import KIND_OF_RATE, Kind, Message

PROTOCOL: Final = "media"
"""The name by which Asterisk asks for this wire as it connects."""
RATE_OF_FORMAT: Final = {
    "slin": 8_000,
    "slin12": 12_000,
    "slin16": 16_000,
    "slin24": 24_000,
    "slin32": 32_000,
    "slin44": 44_100,
    "slin48": 48_000,
    "slin96": 96_000,
    "slin192": 192_000,
}
"""Asterisk's names of linear sound."""
MESSAGE_BYTES: Final = 65_535
"""The longest message that is taken. Asterisk sends frames of sound, and at the start the channel's variables."""
CONTROL_BYTES: Final = 125
"""The longest control frame that the RFC allows."""

_LONG: Final = struct.Struct(">BBH")
_WHOLE: Final = 0x80
"""The first bit of a frame that is a whole message, as all of Asterisk's are."""
_MASKED: Final = 0x80
_MASK_BYTES: Final = 4


class Opcode(IntEnum):
    """The kinds of frames."""

    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class Control(IntEnum):
    """Messages of this wire that are none of AudioSocket's, beside those in `audiosocket.Kind`."""

    TEXT = 0x101
    PING = 0x109
    PONG = 0x10A


class WrongBytes(Exception):
    """What came is no WebSocket, or none of Asterisk's."""


def encode(opcode: int, payload: bytes = b"") -> bytes:
    """Returns one frame, to be sent in one write."""
    length = len(payload)
    if length <= 125:
        return bytes((_WHOLE | opcode, length)) + payload
    return _LONG.pack(_WHOLE | opcode, 126, length) + payload


def command(name: str, **arguments: str) -> bytes:
    """Returns the frame that tells chan_websocket to do something."""
    return encode(Opcode.TEXT, json.dumps({"command": name, **arguments}, separators=(",", ":")).encode())


def read_event(payload: bytes) -> dict[str, Any]:
    """Returns what chan_websocket tells in a text message. Raises WrongBytes."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        raise WrongBytes("a text message that is no JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise WrongBytes("a text message that is no event")
    return event


class Decoder:
    """Cuts a byte stream into messages, those with sound as AudioSocket would have them."""

    def __init__(self) -> None:
        self.rate_hz = 8_000
        """The rate of the sound that comes."""
        self._data = b""
        self._start = 0

    def feed(self, data: bytes, most: int | None = None) -> Iterator[Message]:
        """Gives the messages that `data` completes, in order, and keeps those after the first `most` for later.

        Each is cut off when it is asked for, so that the rate which one of them tells is that of the next. Raises
        WrongBytes.
        """
        if data:
            self._data, self._start = self._data[self._start :] + data, 0
        given = 0
        while given != most and (message := self._next()) is not None:
            given += 1
            yield message
        if given != most:
            self._data, self._start = self._data[self._start :], 0

    def _next(self) -> Message | None:
        data, start = self._data, self._start
        if len(data) - start < 2:
            return None
        opcode, length = data[start], data[start + 1]
        if not length & _MASKED:
            raise WrongBytes("a client's frame without a mask")
        length ^= _MASKED
        at = start + 2
        if length == 126:
            if len(data) < at + 2:
                return None
            length, at = data[at] << 8 | data[at + 1], at + 2
        elif length == 127:
            raise WrongBytes(f"a message longer than {MESSAGE_BYTES} bytes")
        kind = self._kind(opcode, length)
        end = at + _MASK_BYTES + length
        if len(data) < end:
            return None
        self._start = end
        return Message(kind, _unmasked(data[at : at + _MASK_BYTES], data[at + _MASK_BYTES : end]))

    def _kind(self, first: int, length: int) -> int:
        """Returns the message's kind by the first byte of its frame. Raises WrongBytes."""
        if first == _WHOLE | Opcode.BINARY:
            return KIND_OF_RATE[self.rate_hz]
        if first == _WHOLE | Opcode.TEXT:
            return Control.TEXT
        if length <= CONTROL_BYTES:
            if first == _WHOLE | Opcode.CLOSE:
                return Kind.HANGUP
            if first == _WHOLE | Opcode.PING:
                return Control.PING
            if first == _WHOLE | Opcode.PONG:
                return Control.PONG
        raise WrongBytes(f"a frame that begins with 0x{first:02x}")


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    length = len(payload)
    key = (mask * (length // _MASK_BYTES + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")
