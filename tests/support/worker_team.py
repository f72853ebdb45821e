"""A supervisor's calls API in this process, and workers behind it: each its place there, and what serves it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
from aiohttp import web

from bridge.calls_api import take_call_tokens
from bridge.config import Settings
from bridge.http.server import HttpServer
from bridge.workers.control import Control, Message, control_pair
from bridge.workers.forwarding import Forwarding
from bridge.workers.team import Team
from bridge.workers.worker import WorkerApp
from bridge.workers.worker_process import WorkerFailed, WorkerProcess
from engine.link.client import LinkedEngine
from engine.link.server import LinkServer
from engine.web.access import add_access_checks
from tests.support.fakes import FakeEngine
from tests.support.whole_app import QUICK

CONNECTIONS: Final = 100
PATIENCE_S: Final = 30.0


class FakeProcess:
    """A process that runs until it is killed, or ends as it is told here."""

    pids = itertools.count(2**22 + 1)  # no process has such a number

    def __init__(self) -> None:
        self.pid = next(self.pids)
        self.returncode: int | None = None
        self._over = asyncio.Event()

    def end(self, status: int = 0) -> None:
        self.returncode = status if self.returncode is None else self.returncode
        self._over.set()

    def kill(self) -> None:
        self.end(-9)

    async def wait(self) -> int:
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode


class FakeWorker:
    """A worker's side: its process, and the other end of its control socket, which keeps what the worker is told."""

    def __init__(self, path: Path) -> None:
        ours, theirs = control_pair()
        self.process = FakeProcess()
        self.seen = WorkerProcess(ours, path, cast(asyncio.subprocess.Process, self.process))
        """As the supervisor sees it."""
        self.told: asyncio.Queue[tuple[Message, int | None]] = asyncio.Queue()
        self.control = Control(theirs, lambda *message: self.told.put_nowait(message), lambda: None)

    async def next(self) -> tuple[Message, int | None]:
        """Waits for the next message and the descriptor that came with it."""
        return await asyncio.wait_for(self.told.get(), PATIENCE_S)


class FakeStarts:
    """Starts workers of a team: each gets ready once it is let."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []
        """Of the starts that are going on."""
        self.workers: list[FakeWorker] = []
        """All that got ready, as they did."""
        self.at_once = True
        self.failing = 0
        """How many of the next starts fail."""

    async def __call__(self, link: LinkServer, folder: Path, number: int) -> WorkerProcess:
        let = asyncio.get_running_loop().create_future()
        self.waiting.append(let)
        if self.at_once:
            let.set_result(None)
        try:
            await let
        finally:
            self.waiting.remove(let)
        if self.failing:
            self.failing -= 1
            raise WorkerFailed("it ended with status 2")
        worker = FakeWorker(folder / f"{number}.http")
        self.workers.append(worker)
        return worker.seen

    def of(self, seen: WorkerProcess) -> FakeWorker:
        """Returns the worker that the supervisor sees so."""
        return next(worker for worker in self.workers if worker.seen is seen)

    def close(self) -> None:
        for worker in self.workers:
            worker.control.close()


class TeamBench:
    """What `worker_team` gives a test."""

    def __init__(self, team: Team, http: aiohttp.ClientSession, folder: Path) -> None:
        self.team = team
        self.http = http
        self._folder = folder
        self._closing = contextlib.AsyncExitStack()

    async def add(self, app: web.Application) -> FakeWorker:
        """A worker whose HTTP is this application."""
        worker, server = FakeWorker(self._path()), HttpServer(app, CONNECTIONS)
        await server.start_locally(self._path())
        self._closing.push_async_callback(server.close, 0.0)
        self._closing.callback(worker.control.close)
        self._join(worker.seen)
        return worker

    async def add_real(self, **settings: Any) -> WorkerApp:
        """A worker as it runs in a process of its own, on a fake engine."""
        ours, theirs = control_pair()
        worker = WorkerProcess(ours, self._path())
        app = WorkerApp(Settings.of(**{**QUICK, **settings}), cast(LinkedEngine, FakeEngine()), theirs, self._path())
        await app.start()
        self._closing.push_async_callback(app.stop)
        self._join(worker)
        return app

    async def close(self) -> None:
        """Ends all workers."""
        await self._closing.aclose()

    def _path(self) -> Path:
        return self._folder / f"{len(self.team.roster.workers)}.http"

    def _join(self, worker: WorkerProcess) -> None:
        self.team.roster.add(worker)
        self._closing.push_async_callback(worker.forget)


@asynccontextmanager
async def worker_team(
    folder: Path, *, hosts: tuple[str, ...] = (), api_key: str = "", max_calls: int = 10
) -> AsyncIterator[TeamBench]:
    """The supervisor's side, without any worker yet."""
    team = Team(2, max_calls, cast(LinkServer, None), folder)
    app = web.Application()
    add_access_checks(app, api_key, frozenset(), hosts)
    Forwarding(team).add_routes(app)
    if api_key:
        take_call_tokens(app, api_key)
    server = HttpServer(app, CONNECTIONS)
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        bench = TeamBench(team, http, folder)
        try:
            yield bench
        finally:
            await server.close(0.0)
            await bench.close()
