"""Sound over the pipe is what was sent, and all other messages are as before."""

from __future__ import annotations

import pickle

import pytest

from engine.child import LENGTH, Log
from engine.qwen3.messages import Audio, Beat, Failed
from engine.qwen3.sound_message import packed, unpacked


@pytest.mark.parametrize(
    "message",
    [
        Audio(7, b"\x01\x00\xff\x7f"),
        Audio(2**40, b"", "spoken"),
        Audio(0, b"\x80\x00" * 15_360, "invalid_code"),
        Failed(3, "no"),
        Beat({"load": 0.5}),
        Log(20, "model", "loaded", {}),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_arrives_as_it_was_sent(message: object) -> None:
    data = packed(message, 12.5)
    (length,) = LENGTH.unpack(data[: LENGTH.size])
    payload = data[LENGTH.size :]
    assert length == len(payload)
    assert unpacked(payload) == message


def test_sound_is_not_pickled_and_says_when_it_was_sent() -> None:
    payload = packed(Audio(7, b"\x01\x00" * 1920), 12.5)[LENGTH.size :]
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(payload)
    assert unpacked(payload).sent_s == 12.5
