"""A server that is started anew takes over from the one that runs, as processes: calls, requests, systemd, the end."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from tests.bridge.workers.line import PATIENCE_S, Line, is_alive
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.waiting import eventually
from tests.support.websocket_peer import WebSocketAsterisk

SETTINGS = {"GREETING": "", "APOLOGY": "", "NO_INPUT_TIMEOUT_MS": "0", "MAX_CALLS": "6"}

pytestmark = pytest.mark.timeout(240)


class Systemd:
    """Hears of a service, as systemd does."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._words: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self, alive: bool = False) -> str:
        """What it is told next; that the service is alive only if that is asked."""
        while (word := self._words.get(timeout=PATIENCE_S)) == "WATCHDOG=1" and not alive:
            pass
        return word

    def _listen(self) -> None:
        while True:
            self._words.put(self._socket.recv(1000).decode())


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path / "notify")


@pytest.fixture
def server(tmp_path: Path, systemd: Systemd) -> Iterator[Talkspurt]:
    watched = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "4000000"}
    with running(tmp_path, RUN_DIR=str(tmp_path), **SETTINGS, **watched) as server:
        yield server


@pytest.fixture
async def http(server):
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def reload(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs `talkspurt reload` beside the server that runs in this folder, with these settings."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    ports = {"AUDIOSOCKET_PORT": "0", "HTTP_PORT": "0", "LOG_FORMAT": "json", "DRAIN_TIMEOUT": "2"}
    environment = {**kept, **ports, "RUN_DIR": str(folder), **SETTINGS, **settings}
    command = [sys.executable, "-m", "bridge", "reload"]

    def run() -> subprocess.CompletedProcess[str]:
        with (folder / "log").open("w+") as log:
            done = subprocess.run(command, cwd=folder, env=environment, stderr=log, text=True, timeout=PATIENCE_S)
            log.seek(0)
            done.stderr = log.read()
            return done

    return await asyncio.to_thread(run)


async def announce(http: aiohttp.ClientSession, **about: str) -> str:
    call_id = about.setdefault("id", str(uuid4()))
    async with http.post("/v1/calls", json=about) as response:
        assert response.status == 201, await response.text()
    return call_id


async def variable(http: aiohttp.ClientSession, call_id: str, name: str) -> str:
    return str((await CallsApi(http).call(call_id))["conversation"]["variables"][name])


async def test_a_new_server_takes_over_and_the_old_one_ends_with_its_last_call(server, http, systemd, tmp_path):
    assert systemd.next() == "READY=1"
    ended, before = await announce(http, name="Eve"), await announce(http, name="Ada")
    line = await Line.dial(server, UUID(ended))
    await line.heard(5)
    line.hang_up()
    line = await Line.dial(server, UUID(before))
    await line.heard(5)
    waiting, over_websocket = await announce(http, name="Bob"), await announce(http, name="Cid")
    done = await reload(tmp_path, MAX_CALLS="7")
    assert done.returncode == 0, done.stderr
    new_pid = int(systemd.next().removeprefix("MAINPID="))
    try:
        assert systemd.next() == "READY=1"
        assert systemd.next(alive=True) == "WATCHDOG=1"
        async with http.get("/health") as response:
            health = await response.json()
        assert health["max_calls"] == 7, "the new server answers"
        assert [worker["pid"] for worker in health["workers"] if worker["draining"]] == [server.process.pid]

        await line.heard(50)
        await CallsApi(http).say(before, "Are you still there?")
        assert await variable(http, before, "name") == "Ada", "asked of the new server, known by the old one"
        async with http.get(f"/v1/calls/{ended}/next") as response:
            assert response.status == 200, "the dialplan may still ask"
        announced = await Line.dial(server, UUID(waiting))
        await announced.heard(5)
        assert await variable(http, waiting, "name") == "Bob", "what was announced to the old server counts"
        peer = await WebSocketAsterisk.calling(http, call_id=UUID(over_websocket))
        again = await Line.dial(server, UUID(await announce(http, continues=ended)))
        await again.heard(5)
        assert await variable(http, again.id, "name") == "Eve", "it goes on where the old server's call ended"
        fresh = await Line.dial(server, UUID(await announce(http, name="Dan")))
        await fresh.heard(5)
        assert set(await CallsApi(http).active()) == {before, waiting, over_websocket, again.id, fresh.id}

        async def counted() -> bool:
            async with http.get("/health") as response:
                workers = (await response.json())["workers"]
            calls = {worker["draining"]: worker["calls"] for worker in workers}
            return calls == {True: 4, False: 1}

        await eventually(counted, PATIENCE_S)  # the old server tells its calls now and then
        async with http.get("/metrics") as response:
            assert "\ntalkspurt_calls_active 5.0\n" in await response.text(), "those of both"
        for ending in (line, announced, again):
            ending.hang_up()
        await peer.close()
        await asyncio.to_thread(server.process.wait, PATIENCE_S)
        assert server.process.returncode == 0
        await fresh.heard(50)
        assert await CallsApi(http).active() == [fresh.id]
        assert not fresh.end
        fresh.hang_up()
    finally:
        os.kill(new_pid, signal.SIGTERM)

    async def gone() -> bool:
        return not is_alive(new_pid)

    await eventually(gone, PATIENCE_S)
    assert not (tmp_path / "server.sock").exists()


async def test_a_server_that_cannot_start_takes_nothing(server, http, tmp_path):
    line = await Line.dial(server)
    done = await reload(tmp_path, VOICE="nobody")
    assert done.returncode == 1
    assert "the one that runs goes on" in done.stderr
    wrong = await reload(tmp_path, MAX_CALLS="many")
    assert (wrong.returncode, "MAX_CALLS" in wrong.stderr) == (2, True)
    await line.heard(5)
    fresh = await Line.dial(server)
    await fresh.heard(5)
    assert len(await CallsApi(http).active()) == 2
    same = await reload(tmp_path)
    assert same.returncode == 0
    await server.logged("agents read", PATIENCE_S)
    assert len(await CallsApi(http).active()) == 2
    for each in (line, fresh):
        each.hang_up()
