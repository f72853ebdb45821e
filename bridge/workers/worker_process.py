"""A worker, as the supervisor sees it: started, told, handed calls, watched, ended."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import aiohttp

from bridge.workers.control import ANNOUNCED, Control, Message, control_pair
from engine.child import ROOT
from engine.link.server import LinkServer

START_TIMEOUT_S: Final = 300.0
"""How long a worker may take until it takes calls: the embedded recogniser may load a large model."""
CONNECT_S: Final = 2.0
PROGRAM: Final = ("-m", "bridge.workers.worker")


class WorkerFailed(Exception):
    """The worker did not get ready. The text says why."""


class WorkerProcess:
    """A running worker."""

    def __init__(
        self, control: socket.socket, http_path: Path, process: asyncio.subprocess.Process | None = None
    ) -> None:
        self._http_path = http_path
        self.http = aiohttp.ClientSession(
            "http://localhost",
            connector=aiohttp.UnixConnector(str(http_path), limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        """What its part of the HTTP interface is asked by."""
        self.draining = False
        self.overloaded = False
        self._beat_s = time.monotonic()
        """When its clock last told that it runs."""
        self._ends_by_s = 0.0
        """Until when its clock may stand, because it ends."""
        self.calls = 0
        """Its calls in progress, as it last said."""
        self._announced = 0
        self._asked = 0
        """The announcements that were sent to it so far."""
        self._answered = 0
        """How many of them it had answered when it last said how many calls are announced."""
        self._received = 0
        self._handed = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._control = Control(control, self._told, lambda: None)
        self._process = process

    @classmethod
    async def start(cls, link: LinkServer, folder: Path, number: int) -> Self:
        """Starts a worker and waits until it takes calls. Raises WorkerFailed.

        It has this process's environment, so that it reads the same settings; but what `.env` says is read anew.
        """
        ours, theirs = control_pair()
        engine, its_engine = socket.socketpair()
        self = cls(ours, folder / f"{number}.http")
        environment = {
            name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_PID")
        }
        path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
        environment |= {"PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        with theirs, its_engine:
            descriptors = (theirs.fileno(), its_engine.fileno())
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", *PROGRAM, *map(str, descriptors), str(self._http_path)),
                    pass_fds=descriptors,
                    env=environment,
                )
            except OSError as error:
                engine.close()
                await self.forget()
                raise WorkerFailed(f"it cannot be started: {error}") from None
        try:
            await link.serve(engine)
            await self._until_ready()
        except BaseException:
            await self.close()
            raise
        return self

    async def _until_ready(self) -> None:
        ended = asyncio.create_task(self.ended())
        try:
            await asyncio.wait((self._ready, ended), timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if not self._ready.done():
            how = f"it ended with status {ended.result()}" if ended.done() else f"not ready after {START_TIMEOUT_S:g} s"
            raise WorkerFailed(how)
        self._ready.result()
        self._beat_s = time.monotonic()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def silence_s(self, now_s: float) -> float:
        """Returns for how long its clock has not told that it runs, though it should."""
        return now_s - max(self._beat_s, self._ends_by_s)

    @property
    def load(self) -> int:
        """Its calls, those that are on their way to it, and those announced to it that are about to connect."""
        return self.calls + self._announced + max(0, self._asked - self._answered) + self._handed - self._received

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """Counts a call while it is announced to it, until it says itself how many those are."""
        self._asked += 1
        try:
            yield
        except BaseException:
            self._asked -= 1
            raise

    def hand_over(self, descriptor: int, elsewhere: int, told: Message) -> bool:
        """Gives it the connection of a call, and tells how many calls the others have. Tells whether it went."""
        sent = self._control.send({"elsewhere": elsewhere, **told}, descriptor)
        self._handed += sent and ANNOUNCED not in told
        return sent

    def tell_elsewhere(self, calls: int) -> None:
        """Tells it how many calls the others have."""
        self._control.send({"elsewhere": calls})

    def reload(self) -> None:
        """Has it read the agents anew."""
        self._control.send({"do": "reload"})

    def drain(self) -> None:
        """Has it end once its last call has ended, and take none but those announced to it."""
        self.draining = True
        self._control.send({"do": "drain"})

    def stop(self) -> None:
        """Has it end as a server does on SIGTERM."""
        self.draining = True
        self._control.send({"do": "stop"})

    def kill(self) -> None:
        """Kills it at once."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Waits until the process is gone; returns its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def close(self) -> None:
        """Kills it where it is not gone yet, and lets go of what belonged to it."""
        self.kill()
        await self.ended()
        await self.forget()

    async def forget(self) -> None:
        """Lets go of what belonged to it once its process is gone."""
        self._control.close()
        await self.http.close()
        self._http_path.unlink(missing_ok=True)

    def _told(self, message: Message, descriptor: int | None) -> None:
        if "ready" in message and not self._ready.done():
            self._ready.set_result(None)
        if "failed" in message and not self._ready.done():
            self._ready.set_exception(WorkerFailed(message["failed"]))
        if "calls" in message:
            self._beat_s = time.monotonic()
            self.calls, self._announced = message["calls"], message["announced"]
            self._received, self._answered = message["received"], message.get("answered", self._asked)
            self.overloaded = message.get("overloaded", False)  # an old server of an earlier version does not tell
        if "ending" in message:
            self._ends_by_s = time.monotonic() + message["ending"]
