"""A worker: what it tells its supervisor, and when it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest

from bridge.app import CLOSE_S
from bridge.config import Settings
from bridge.line.connection import CallRefused
from bridge.workers import worker as worker_module
from bridge.workers.control import Control, control_pair
from bridge.workers.worker import LINGER_S, work
from tests.support.fakes import FakeEngine
from tests.support.waiting import eventually
from tests.support.whole_app import QUICK
from tests.support.worker_team import worker_team

PATIENCE_S = 30


@pytest.fixture
async def bench(tmp_path):
    async with worker_team(tmp_path) as bench:
        yield bench


async def test_it_tells_how_long_it_may_take_to_end_before_its_clock_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_module, "LinkedEngine", lambda link: FakeEngine())
    ours, theirs = control_pair()
    came = asyncio.Queue()
    control = Control(ours, lambda message, descriptor: came.put_nowait(message), lambda: came.put_nowait(None))
    with socket.socket() as engine:
        working = asyncio.create_task(work(Settings.of(**QUICK), theirs, engine, tmp_path / "http"))
        async with asyncio.timeout(PATIENCE_S):
            while await came.get() != {"ready": True}:
                pass
            control.send({"do": "stop"})
            while "ending" not in (message := await came.get()):
                pass
            assert not working.done()
            assert message == {"ending": CLOSE_S}
            assert await working == 0
    control.close()


async def test_one_whose_frames_are_late_is_refused_new_calls_by_the_whole_until_they_are_not(bench, monkeypatch):
    app = await bench.add_real()
    roster = bench.team.roster
    for late in (True, False):
        monkeypatch.setattr(app.call_limit, "is_reached", lambda calls, late=late: late)

        async def told(expected: bool = late) -> bool:
            return roster.is_overloaded() is expected

        await eventually(told, PATIENCE_S)
        if late:
            with pytest.raises(CallRefused, match="frames are late"):
                roster.check_room(uuid4())
    roster.check_room(uuid4())


async def test_it_stays_a_while_once_it_drains_for_a_call_may_be_on_its_way_to_it(bench, monkeypatch):
    started_s = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: started_s - 100)
    monkeypatch.setattr(worker_module, "time", clock)
    app = await bench.add_real()
    [worker] = bench.team.roster.workers
    clock.monotonic = lambda: started_s
    worker.drain()
    worker.tell_elsewhere(7)

    async def told() -> bool:
        return app.calls.elsewhere == 7

    await eventually(told, PATIENCE_S)
    app.audiosocket.clock.run(started_s + LINGER_S - 1)
    assert not app.done.is_set()
    app.audiosocket.clock.run(started_s + LINGER_S + 1)
    assert app.done.is_set()
