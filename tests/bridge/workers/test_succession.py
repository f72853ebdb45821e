"""What a server and the one that was started after it tell each other: who may ask, what is given, who goes on."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from bridge.config import Settings
from bridge.workers import old_server, succession
from bridge.workers.control import ANNOUNCED, control_pair, peer_pid
from bridge.workers.old_server import SOCKET, OldServer, TakeOverFailed, fingerprint, greeting
from bridge.workers.ports import Ports
from bridge.workers.succession import IDS_A_PACKET, Succession
from bridge.workers.team import Team
from engine.link.server import LinkServer
from tests.support.waiting import eventually
from tests.support.whole_app import QUICK
from tests.support.worker_team import FakeWorker

PATIENCE_S = 30


class Old:
    """A server with two workers that does not listen: what its successor asks of it, and what is to happen then."""

    def __init__(self, folder):
        self.team = Team(2, 100, cast(LinkServer, None), folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.left_to: list[int] = []
        self.ended = asyncio.Event()
        self.succession = Succession(
            folder,
            {"environment": {}},
            self.team,
            cast(Ports, self),
            self.leave,
            self.ended.set,
        )

    async def leave(self, pid):
        self.left_to.append(pid)

    def listeners(self):
        return [("HTTP here:1", self.listener)]


@asynccontextmanager
async def old_server_in(folder):
    old = Old(folder)
    old.succession.start()
    try:
        yield old
    finally:
        old.succession.close()
        old.listener.close()


async def found_in(folder) -> OldServer:
    found = await OldServer.find(folder)
    assert found is not None
    return found


async def test_where_nobody_runs_there_is_nothing_to_take_over(tmp_path):
    assert await OldServer.find(tmp_path) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left_behind:
        left_behind.bind(str(tmp_path / SOCKET))
        assert await OldServer.find(tmp_path) is None
    async with old_server_in(tmp_path):
        await (await found_in(tmp_path)).forget()
    assert not (tmp_path / SOCKET).exists()


async def test_the_next_server_gets_the_ports_and_all_calls_and_then_the_old_one_leaves(tmp_path):
    async with old_server_in(tmp_path) as old:
        worker = FakeWorker(tmp_path / "1.http")
        old.team.roster.add(worker.seen)
        ids = [uuid4() for _ in range(2 * IDS_A_PACKET + 1)]
        for call_id in ids:
            old.team.roster.learn(call_id, worker.seen)
        new = await found_in(tmp_path)
        told = []
        new.on_known = told.append
        ports = await new.take()
        (descriptor,) = ports["HTTP here:1"]
        assert os.fstat(descriptor).st_ino == os.fstat(old.listener.fileno()).st_ino
        os.close(descriptor)
        assert told == ids
        assert old.left_to == [], "it listens until it is told"
        late = uuid4()
        old.team.roster.learn(late, worker.seen)
        await new.leave()
        assert told[-1] == late
        assert old.left_to == [os.getpid()]
        old.succession.close()
        assert (tmp_path / SOCKET).exists(), "it is the next server's now"
        for each in (new, worker.seen):
            await each.forget()


async def test_a_new_server_that_goes_before_it_has_taken_over_changes_nothing(tmp_path):
    async with old_server_in(tmp_path) as old:
        first = await found_in(tmp_path)
        for descriptors in (await first.take()).values():
            os.close(descriptors[0])
        await first.forget()
        second = await found_in(tmp_path)
        assert "HTTP here:1" in await second.take()
        await second.leave()
        assert old.left_to == [os.getpid()]
        await second.forget()


async def test_after_a_server_that_took_over_and_failed_another_one_learns_where_the_calls_are(tmp_path):
    async with old_server_in(tmp_path) as old:
        worker = FakeWorker(tmp_path / "1.http")
        old.team.roster.add(worker.seen)
        old.team.roster.learn(call_id := uuid4(), worker.seen)
        first = await found_in(tmp_path)
        await first.take()
        await first.leave()
        await first.forget()
        second = await found_in(tmp_path)
        told = []
        second.on_known = told.append
        await second.take()
        assert told == [call_id]
        await second.leave()
        assert old.left_to == [os.getpid()], "it has left once and for all"
        for each in (second, worker.seen):
            await each.forget()


async def test_a_server_that_comes_and_goes_leaves_nothing_that_runs_in_the_old_one(tmp_path):
    async with old_server_in(tmp_path) as old:
        before = len(asyncio.all_tasks())
        for _ in range(3):
            new = await found_in(tmp_path)
            await new.take()
            await new.forget()

        async def as_before() -> bool:
            return len(asyncio.all_tasks()) == before

        await eventually(as_before, PATIENCE_S)
        assert old.left_to == [], "it goes on"
        assert not old.ended.is_set()


async def test_one_that_could_not_be_found_leaves_the_other_where_it_is(tmp_path, monkeypatch):
    async with old_server_in(tmp_path) as old:
        Succession(tmp_path, {}, old.team, cast(Ports, old), old.leave, old.ended.set).close()
        other = await found_in(tmp_path)
        await other.take()
        assert old.left_to == [], "it still serves, and answers"
        await other.forget()


async def test_only_one_server_takes_over(tmp_path, monkeypatch):
    monkeypatch.setattr(old_server, "GIVE_S", 0.2)
    async with old_server_in(tmp_path) as old:
        first, second = await found_in(tmp_path), await found_in(tmp_path)
        await first.take()
        with pytest.raises(TakeOverFailed, match=f"process {os.getpid()}, does not answer"):
            await second.take()
        await first.leave()
        assert old.left_to == [os.getpid()]
        for each in (first, second):
            await each.forget()


async def test_a_call_of_the_old_server_that_comes_to_the_new_one_goes_to_its_worker(tmp_path):
    async with old_server_in(tmp_path) as old:
        worker = FakeWorker(tmp_path / "1.http")
        old.team.roster.add(worker.seen)
        call_id = uuid4()
        old.team.roster.learn(call_id, worker.seen)
        new = await found_in(tmp_path)
        await new.take()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert new.hand_over(theirs.fileno(), 0, {"media": str(call_id), "data": "YQ=="})
            message, descriptor = await worker.next()
        assert message == {"elsewhere": 0, "media": str(call_id), "data": "YQ==", ANNOUNCED: str(call_id)}
        assert descriptor is not None
        os.close(descriptor)
        for each in (new, worker.seen):
            await each.forget()


async def test_another_user_is_told_nothing_and_not_believed(tmp_path, monkeypatch):
    ours, theirs = control_pair()
    with ours, theirs:
        assert peer_pid(ours) == os.getpid()
        credentials = struct.pack("3i", os.getpid(), os.getuid() + 1, os.getgid())
        other = cast(socket.socket, SimpleNamespace(getsockopt=lambda *args: credentials))
        assert peer_pid(other) is None
    for side in (succession, old_server):
        with monkeypatch.context() as patch:
            patch.setattr(side, "peer_pid", lambda connection: None)
            async with old_server_in(tmp_path):
                assert await OldServer.find(tmp_path) is None


async def test_the_new_server_can_have_the_old_one_end(tmp_path):
    async with old_server_in(tmp_path) as old:
        new = await found_in(tmp_path)
        await new.take()
        assert not old.ended.is_set()
        new.stop()
        await asyncio.wait_for(old.ended.wait(), PATIENCE_S)
        assert old.left_to == [], "it ends, and leaves its calls to nobody"
        await new.forget()


def test_other_settings_are_told_from_the_same_and_none_is_betrayed() -> None:
    def of(**values: Any) -> str:
        return fingerprint(Settings.of(**{**QUICK, **values}))

    assert of(api_key="abc") == of(api_key="abc")
    assert len({of(), of(api_key="abc"), of(api_key="abd"), of(greeting="Hello.")}) == 4
    assert "abc" not in of(api_key="abc")


def test_a_greeting_is_read_by_whoever_only_looks(tmp_path):
    async def look() -> None:
        async with old_server_in(tmp_path) as old:
            found = await asyncio.to_thread(greeting, tmp_path)
            assert found is not None
            connection, told = found
            connection.close()
            assert told["pid"] == os.getpid()
            assert old.left_to == []

    asyncio.run(look())
