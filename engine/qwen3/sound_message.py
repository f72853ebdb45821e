"""How a sentence's sound travels over the pipe: behind a head of fixed size, not pickled. All else is pickled.

Sound is nearly all that the serving process gets from the model's, and its one core takes it for every call.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, Final

from engine.child import framed, pack
from engine.qwen3.messages import Audio

MARK: Final = b"A"
"""The first byte of sound. A pickle begins with 0x80."""
HEAD: Final = struct.Struct("<cB6xqd")
"""The mark, the length of `end`, the sentence's number, and when it was sent."""


def packed(message: Any, now_s: float) -> bytes:
    """Returns a message of the model's process as it is written to the pipe, at `now_s` of the monotonic clock."""
    if not isinstance(message, Audio):
        return pack(message)
    end = (message.end or "").encode()
    return framed(HEAD.pack(MARK, len(end), message.number, now_s) + message.pcm + end)


def unpacked(payload: bytes) -> Any:
    """Returns the message that `packed` was given."""
    if payload[:1] != MARK:
        return pickle.loads(payload)
    _, length, number, sent_s = HEAD.unpack_from(payload)
    last = len(payload) - length
    return Audio(number, payload[HEAD.size : last], payload[last:].decode() or None, sent_s)
