"""What travels on a link: `length:u32, kind:u8, number:u32`, little-endian, then a payload of that length.

The number is the sentence's, which the side that asks for it chooses; 0 where a frame is of none.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("<IBI")


class Kind:
    """The kinds of frames. Sound is 16-bit little-endian mono, a token is text; the others are JSON, or empty.

    They are plain numbers: to look one up in an `Enum` costs a tenth of all that is done with a piece of sound.
    """

    HELLO: Final = 1
    """From the engine, once, before any sound: what it is."""
    ROOM: Final = 2
    """From the engine, ten times a second: how it does, and how many more it could speak for."""
    OPEN: Final = 3
    """To the engine: a sentence, and how it is to be spoken."""
    CANCEL: Final = 4
    """To the engine: nobody listens to the sentence any more. It is answered by END."""
    PCM: Final = 5
    """From the engine: a piece of the sentence's sound."""
    WORDS: Final = 6
    """From the engine: the samples at which words begin."""
    END: Final = 7
    """From the engine: nothing more comes of the sentence."""
    FAILED: Final = 8
    """From the engine: the sentence ends here, and why. With number 0: the link does."""
    TOKEN: Final = 9
    """To the engine, before anything else, where it wants a token to be spoken with."""


Limits = Mapping[int, int]
"""The kinds of frames that one end takes, and for each how many bytes its payload may have."""
FROM_ENGINE: Final[Limits] = {
    Kind.HELLO: 2**20,
    Kind.ROOM: 2**16,
    Kind.PCM: 2**16,
    Kind.WORDS: 2**16,
    Kind.END: 0,
    Kind.FAILED: 2**16,
}
"""What comes from an engine. A piece of sound is short, for it is resampled in one go beside the calls' clock."""
TO_ENGINE: Final[Limits] = {Kind.OPEN: 2**18, Kind.CANCEL: 0, Kind.TOKEN: 2**10}
"""What comes to an engine. A sentence, with its instructions, is far shorter."""
BEFORE_TOKEN: Final[Limits] = {Kind.TOKEN: 2**10}
"""What comes to an engine from somebody who has not shown the token yet."""


class Frame(NamedTuple):
    """One frame."""

    kind: int
    number: int
    payload: bytes


class WrongBytes(ValueError):
    """The other end of a link does not keep to the protocol. The link is closed; nothing else is touched."""


def encode(kind: int, number: int = 0, payload: bytes = b"") -> bytes:
    """Returns a frame as it travels."""
    return _HEAD.pack(len(payload), kind, number) + payload


class Decoder:
    """Cuts a byte stream into frames, in whatever pieces the stream arrives.

    Frames are cut one by one as they are taken: a read may bring thousands, which would hold the event loop.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._data, self._start = b"", 0
        """What frames are cut from, and how far."""
        self._later = bytearray()
        """What has arrived since. It is put behind the former once a frame is whole, so that one that comes byte by
        byte costs no more than one that comes at once."""

    def feed(self, data: bytes) -> None:
        """Takes what has arrived."""
        if self._start == len(self._data) and not self._later:
            self._data, self._start = data, 0
        else:
            self._later += data

    def take(self) -> Frame | None:
        """Returns the next frame, None where it is not whole yet. Raises WrongBytes for one that may not come."""
        if len(self._data) - self._start < _HEAD.size and not self._join(_HEAD.size):
            return None
        length, kind, number = _HEAD.unpack_from(self._data, self._start)
        limit = self.limits.get(kind)
        if limit is None:
            raise WrongBytes(f"a frame of kind {kind}")
        if length > limit:
            raise WrongBytes(f"a frame of {length} bytes; {limit} are taken of kind {kind}")
        whole = _HEAD.size + length
        if len(self._data) - self._start < whole and not self._join(whole):
            return None
        payload = self._start + _HEAD.size
        self._start += whole
        return Frame(kind, number, self._data[payload : self._start])

    def _join(self, size: int) -> bool:
        """Puts all that has arrived in one piece where it is so much. Tells whether it is."""
        if len(self._data) - self._start + len(self._later) < size:
            return False
        self._data, self._start = self._data[self._start :] + self._later, 0
        self._later.clear()
        return True
