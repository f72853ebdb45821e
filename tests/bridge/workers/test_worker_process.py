"""A worker, as the supervisor sees it: how much it has to do, and why it does not get ready."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from bridge.workers import worker_process
from bridge.workers.worker_process import WorkerFailed, WorkerProcess
from tests.support.waiting import eventually
from tests.support.worker_team import FakeWorker

PATIENCE_S = 30


class Link:
    """Takes engine links, and leaves them alone."""

    async def serve(self, end):
        end.close()


@pytest.fixture
async def worker(tmp_path):
    worker = FakeWorker(tmp_path / "1.http")
    yield worker
    worker.control.close()
    await worker.seen.forget()


async def test_a_call_counts_once_from_its_announcement_to_its_end(worker):
    async def tells(load, **counts):
        sent_s = time.monotonic()
        worker.control.send({"announced": 0, **counts})

        async def told() -> bool:
            return worker.seen.silence_s(sent_s) <= 0

        await eventually(told, PATIENCE_S)
        assert worker.seen.load == load

    with worker.seen.announcing():
        assert worker.seen.load == 1
        await tells(1, calls=0, received=0, answered=0)
    assert worker.seen.load == 1, "it has not told yet"
    await tells(1, calls=0, announced=1, received=0, answered=1)
    near, far = socket.socketpair()
    with near, far:
        assert worker.seen.hand_over(near.fileno(), 0, {})
    assert worker.seen.load == 2, "until it has told, this may be another call"
    _, descriptor = await worker.next()
    os.close(descriptor)
    await tells(1, calls=1, received=1)
    await tells(0, calls=0, received=1)


async def test_an_announcement_that_fails_counts_no_more(worker):
    with pytest.raises(RuntimeError), worker.seen.announcing():
        raise RuntimeError
    assert worker.seen.load == 0


async def test_a_connection_that_does_not_reach_it_counts_nothing(worker):
    worker.control.close()
    near, far = socket.socketpair()
    with near, far:
        assert not worker.seen.hand_over(near.fileno(), 0, {})
    assert worker.seen.load == 0


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit(3)", "it ended with status 3"),
        (
            "import socket, sys; control = socket.socket(fileno=int(sys.argv[1]));"
            """control.send(b'{"failed": "ASR_URI=x: no such server"}'); control.recv(1)""",
            "ASR_URI=x: no such server",
        ),
    ],
)
async def test_it_is_told_why_one_does_not_get_ready(tmp_path, monkeypatch, program, reason):
    monkeypatch.setattr(worker_process, "PROGRAM", ("-S", "-c", program))
    with pytest.raises(WorkerFailed, match=reason):
        await asyncio.wait_for(WorkerProcess.start(Link(), tmp_path, 1), PATIENCE_S)


async def test_one_that_is_slow_to_get_ready_is_given_up_and_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_process, "PROGRAM", ("-S", "-c", "import signal; signal.pause()"))
    monkeypatch.setattr(worker_process, "START_TIMEOUT_S", 0.05)
    started = []

    class Noted(WorkerProcess):
        def __init__(self, *its):
            super().__init__(*its)
            started.append(self)

    with pytest.raises(WorkerFailed, match=r"not ready after 0\.05 s"):
        await asyncio.wait_for(Noted.start(Link(), tmp_path, 1), PATIENCE_S)
    assert await asyncio.wait_for(started[0].ended(), PATIENCE_S) == -signal.SIGKILL


async def test_one_that_cannot_be_started_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_process.sys, "executable", str(tmp_path / "python"))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(WorkerFailed, match="cannot be started"):
        await WorkerProcess.start(Link(), tmp_path, 1)
    assert len(os.listdir("/proc/self/fd")) <= before
