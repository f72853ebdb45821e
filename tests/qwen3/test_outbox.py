from __future__ import annotations

import os
import threading

import pytest

from engine.qwen3.outbox import AT_ONCE, Outbox

LARGE = 8 * 2**20  # more than any pipe holds


def test_a_full_pipe_does_not_hold_up_the_sender_and_all_arrives_in_order() -> None:
    reading, writing = os.pipe()
    whole: list[bytes] = []
    put = threading.Event()

    def read() -> None:
        put.wait()  # nobody reads before everything has been put
        with os.fdopen(reading, "rb") as stream:
            whole.append(stream.read())

    reader = threading.Thread(target=read)
    reader.start()
    parts = [bytes([number]) * LARGE for number in range(3)]
    with os.fdopen(writing, "wb") as stream, Outbox(stream) as outbox:
        for part in parts:
            outbox.put(part)
        put.set()
    reader.join()
    assert whole[0] == b"".join(parts)


def test_what_is_due_first_goes_first_and_what_is_due_together_in_order() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream, os.fdopen(reading, "rb") as reader, Outbox(stream) as outbox:
        outbox.put(bytes(LARGE))  # more than the pipe holds: the others wait for it
        assert reader.read(1)  # it is being written
        for due_s, data in ((3.0, b"d"), (1.0, b"b"), (2.0, b"c"), (3.0, b"e"), (AT_ONCE, b"a"), (3.0, b"f")):
            outbox.put(data, due_s)
        assert reader.read(LARGE - 1 + 6).strip(b"\0") == b"abcdef"


def test_a_reader_that_is_gone_ends_the_sending_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "wb", buffering=0)
    with Outbox(stream) as outbox:
        outbox.put(b"nobody hears this")
        outbox.put(b"nor this")
    stream.close()
    assert raised == []
