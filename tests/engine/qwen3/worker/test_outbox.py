from __future__ import annotations

import os
import threading

import pytest

from engine.qwen3.worker.outbox import Outbox

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
