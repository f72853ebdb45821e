"""The workers of a server: handed calls, looked after, replaced and ended."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from bridge.workers import team as team_module
from bridge.workers.team import HANG_S, Team
from bridge.workers.worker_process import WorkerFailed
from engine.link.server import LinkServer
from tests.support.waiting import eventually
from tests.support.worker_team import FakeStarts

CALL = UUID("1d0c5ad2-7a1a-4d3d-9f4a-6d1f10b2bb4c")
PATIENCE_S = 30
SIZE = 2


@pytest.fixture
async def starts():
    starts = FakeStarts()
    yield starts
    starts.close()


@pytest.fixture
async def team(tmp_path, starts):
    team = Team(SIZE, 10, cast(LinkServer, None), tmp_path, starts)
    await team.start()
    yield team
    await team.stop(0)


def of_those_that_stay(team):
    return [worker for worker in team.roster.workers if not worker.draining]


async def so(condition):
    async def holds() -> bool:
        return bool(condition())

    await eventually(holds, PATIENCE_S)


async def test_a_connection_that_does_not_reach_a_worker_is_none_of_its_calls(team, starts):
    connection, peer = socket.socketpair()
    with connection, peer:
        assert not team.hand_over_media(connection.fileno(), CALL, b"x" * 60_000)
        assert sum(worker.load for worker in team.roster.workers) == 0
        assert team.hand_over_media(connection.fileno(), CALL, b"x")
        assert sum(worker.load for worker in team.roster.workers) == 1
    message, descriptor = await starts.of(team.roster.of(CALL)).next()
    os.close(descriptor)
    assert message["media"] == str(CALL)


async def test_a_worker_whose_clock_does_not_run_is_killed_and_another_takes_its_place(team, starts):
    first, second = starts.workers
    now_s = time.monotonic() + HANG_S + 1
    second.seen.silence_s = lambda now_s: 0.0
    team.look(now_s)
    assert (first.process.returncode, second.process.returncode) == (-9, None)
    await so(lambda: len(starts.workers) == 3)
    assert team.roster.workers == [second.seen, starts.workers[2].seen]


async def test_a_worker_that_ends_may_take_the_time_that_it_has_told(team, starts):
    worker = starts.workers[0]
    worker.control.send({"ending": 20.0})
    await so(lambda: worker.seen.silence_s(time.monotonic()) < -10)
    team.look(time.monotonic() + HANG_S + 5)
    assert worker.process.returncode is None, "its web-hooks go out"
    team.look(time.monotonic() + HANG_S + 25)
    assert worker.process.returncode == -9


@pytest.mark.parametrize(("status", "level"), [(0, "info"), (1, "error"), (-9, "error")])
async def test_a_worker_that_drains_is_not_replaced_but_told_of_where_it_fails(team, starts, status, level):
    old = starts.workers[:SIZE]
    team.roll()
    await so(lambda: all(worker.seen.draining for worker in old))
    await asyncio.sleep(0)  # the roll has told that it is over
    with capture_logs() as log:
        old[0].process.end(status)
        await so(lambda: log)
    assert [line["log_level"] for line in log] == [level]
    assert len(starts.workers) == 2 * SIZE
    assert len(team.roster.workers) == 2 * SIZE - 1


async def test_a_roll_puts_as_many_new_ones_in_the_place_of_all(team, starts):
    old = list(starts.workers)
    team.roll()
    await so(lambda: all(worker.seen.draining for worker in old))
    assert of_those_that_stay(team) == [worker.seen for worker in starts.workers[SIZE:]]
    assert len(starts.workers) == 2 * SIZE


async def test_where_no_new_one_starts_the_old_ones_stay(team, starts):
    old = list(starts.workers)
    starts.failing = 1
    with capture_logs() as log:
        team.roll()
        await so(lambda: any(line["event"] == "a new worker does not start, the old ones stay" for line in log))
    assert of_those_that_stay(team) == [worker.seen for worker in old]
    team.roll()
    await so(lambda: all(worker.seen.draining for worker in old))


async def test_a_second_roll_waits_for_nobody_and_changes_nothing(team, starts):
    starts.at_once = False
    team.roll()
    with capture_logs() as log:
        team.roll()
    assert [line["event"] for line in log] == ["the workers are being replaced already"]
    await so(lambda: starts.waiting)
    assert len(starts.waiting) == 1


async def test_a_lost_worker_is_started_again_until_it_gets_ready_and_each_time_later(team, starts, monkeypatch):
    monkeypatch.setattr(team_module, "RESTART_DELAYS_S", delays_s := [0.0, 0.001, 0.002])
    slept_s = []
    sleep = asyncio.sleep

    async def noted(delay_s):
        if delay_s in delays_s:
            slept_s.append(delay_s)
        await sleep(delay_s)

    monkeypatch.setattr(team_module.asyncio, "sleep", noted)
    starts.failing = 3
    starts.workers[0].process.end(1)
    await so(lambda: len(of_those_that_stay(team)) == SIZE and not starts.failing)
    assert [delay_s for delay_s in slept_s if delay_s] == [0.001, 0.002, 0.002]


async def test_where_a_worker_does_not_get_ready_at_first_the_server_does_not_start(tmp_path, starts):
    starts.failing = 1
    team = Team(SIZE, 10, cast(LinkServer, None), tmp_path, starts)
    with pytest.raises(WorkerFailed, match="status 2"):
        await team.start()
    await team.stop(0)
    assert all(worker.process.returncode is not None for worker in starts.workers)


async def test_each_worker_is_told_once_how_many_calls_the_others_have(team, starts):
    first, second = starts.workers
    second.control.send({"calls": 3, "announced": 1, "received": 0})
    await so(lambda: team.calls == 3)
    for _ in range(3):
        team.look(time.monotonic())
    assert await first.next() == ({"elsewhere": 4}, None)
    assert await second.next() == ({"elsewhere": 0}, None)
    team.reload()
    assert await first.next() == await second.next() == ({"do": "reload"}, None)
    assert [worker["calls"] for worker in team.described()] == [0, 3]


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_worker_lost_during_a_roll_makes_the_team_neither_larger_nor_smaller(team, starts, lost):
    old = list(starts.workers)
    with capture_logs() as log:
        starts.at_once = False
        team.roll()
        await so(lambda: starts.waiting)
        if lost == 2:  # one of the new
            starts.waiting[0].set_result(None)
            await so(lambda: len(starts.workers) == 3 and starts.waiting)
        starts.workers[lost].process.end(-9)
        await so(lambda: starts.workers[lost].seen not in team.roster.workers)
        starts.at_once = True
        for start in tuple(starts.waiting):
            start.set_result(None)
        await so(lambda: any(line["event"] == "the workers were replaced" for line in log))
        await so(lambda: len(of_those_that_stay(team)) >= SIZE and not starts.waiting)
    assert len(of_those_that_stay(team)) == SIZE
    assert not {worker.seen for worker in old} & set(of_those_that_stay(team))


async def test_a_worker_that_gets_ready_while_the_server_stops_ends_too(team, starts):
    starts.at_once = False
    team.roll()
    await so(lambda: starts.waiting)
    stopping = asyncio.create_task(team.stop(PATIENCE_S))
    await asyncio.sleep(0)
    for start in starts.waiting:
        if not start.done():  # it was called off
            start.set_result(None)
    for worker in tuple(starts.workers):
        await worker.next()
        worker.process.end()
    await asyncio.wait_for(stopping, PATIENCE_S)
    assert not starts.waiting
    assert not team.roster.workers
    assert all(worker.process.returncode is not None for worker in starts.workers)
