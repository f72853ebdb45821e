"""What supervisor and worker tell each other: whole messages with their connections, or none."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from bridge.workers.control import PACKET_BYTES, Control, control_pair

PATIENCE_S = 30


@pytest.fixture
async def ends():
    """Both ends, and what comes at the second: messages, and None once the first is gone."""
    first, second = control_pair()
    came = asyncio.Queue()
    ours = Control(first, lambda *message: None, lambda: None)
    theirs = Control(second, lambda *message: came.put_nowait(message), lambda: came.put_nowait(None))
    yield ours, theirs, came
    ours.close()
    theirs.close()


async def next_of(came):
    return await asyncio.wait_for(came.get(), PATIENCE_S)


async def test_a_message_comes_with_its_connection(ends):
    ours, _, came = ends
    near, far = socket.socketpair()
    with near, far:
        assert ours.send({"elsewhere": 3}, far.fileno())
    message, descriptor = await next_of(came)
    assert message == {"elsewhere": 3}
    with socket.socket(fileno=descriptor) as connection:
        assert connection.recv(1) == b"", "it is the other side of what is closed here"


async def test_a_message_that_would_be_cut_is_not_sent_and_the_next_one_is(ends):
    ours, _, came = ends
    assert not ours.send({"data": "x" * PACKET_BYTES})
    assert ours.send({"data": "x" * (PACKET_BYTES - 20)})
    assert len((await next_of(came))[0]["data"]) == PACKET_BYTES - 20


async def test_a_connection_that_comes_with_what_is_no_message_is_closed():
    lost = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context["exception"]))
    first, second = control_pair()
    near, far = socket.socketpair()
    with first, near:
        with far:
            socket.send_fds(first, [b"{"], [far.fileno()])
        gone = asyncio.Event()
        theirs = Control(second, lambda *message: None, gone.set)
        first.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(gone.wait(), PATIENCE_S)
        near.settimeout(PATIENCE_S)
        assert near.recv(1) == b"", "nobody has its other side"
    theirs.close()
    assert [type(error) for error in lost] == [json.JSONDecodeError]


async def test_nobody_waits_for_one_that_reads_nothing():
    first, second = control_pair()
    ours = Control(first, lambda *message: None, lambda: None)
    sent = 0
    while ours.send({"number": sent, "data": "x" * 10_000}):
        sent += 1
    came = asyncio.Queue()
    theirs = Control(second, lambda message, descriptor: came.put_nowait(message["number"]), lambda: None)
    assert [await next_of(came) for _ in range(sent)] == list(range(sent)), "and what was sent is not lost"
    assert ours.send({"number": 0})
    ours.close()
    theirs.close()


async def test_the_end_of_the_other_is_told_once_and_nothing_more_is_sent(ends):
    ours, theirs, came = ends
    ours.close()
    assert await next_of(came) is None
    assert not theirs.send({"calls": 1})
    assert came.empty()
