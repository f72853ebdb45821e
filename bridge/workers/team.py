"""The workers of a server: started, started again when they are lost, replaced one after the other, ended."""

from __future__ import annotations

import asyncio
import socket
import time
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client.multiprocess import mark_process_dead

from bridge.workers.control import ANNOUNCED, Message
from bridge.workers.roster import Roster
from bridge.workers.worker_process import WorkerFailed, WorkerProcess
from engine.link.server import LinkServer

log = structlog.get_logger(__name__)

RESTART_DELAYS_S: Final = (0.0, 0.5, 2.0, 5.0, 15.0)
"""Before another worker is started in place of a lost one: longer, the more were lost lately."""
LATELY_S: Final = 60.0
HANG_S: Final = 4.0
"""A worker whose clock has not run for so long keeps its callers in silence. It is killed: their dialplans go on."""
LOOK_EVERY_S: Final = 0.5

Start = Callable[[LinkServer, Path, int], Awaitable[WorkerProcess]]
"""Starts the worker of that number and waits until it takes calls. Raises WorkerFailed."""


class Team:
    """So many workers, and those that drain. All of them speak with one engine, over `link`."""

    def __init__(
        self, size: int, max_calls: int, link: LinkServer, folder: Path, start: Start = WorkerProcess.start
    ) -> None:
        """`max_calls` counts those of all workers; `folder` is for the workers' sockets and metrics."""
        self.roster: Roster[WorkerProcess] = Roster(max_calls)
        self._size = size
        self._link = link
        self._folder = folder
        self._start = start
        self._started = 0
        self._lost_at_s: deque[float] = deque(maxlen=len(RESTART_DELAYS_S))
        self._rolling: asyncio.Task[None] | None = None
        self._stopping = False
        self._coming = 0
        """The workers that are being started."""
        self._starting: set[asyncio.Task[None]] = set()
        """What starts workers: it ends before they do."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: dict[WorkerProcess, int] = {}
        """How many calls each worker knows that the others have."""

    async def start(self) -> None:
        """Starts the workers. Raises WorkerFailed where one does not get ready; the others are ended by `stop`."""
        try:
            async with asyncio.TaskGroup() as starting:
                for _ in range(self._size):
                    starting.create_task(self._add())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        _spawn(self._look_after_clocks(), self._tasks)

    @property
    def calls(self) -> int:
        """The calls in progress, as the workers last said."""
        return sum(worker.calls for worker in self.roster.workers)

    def described(self) -> list[dict[str, Any]]:
        """Returns the workers as /health shows them."""
        return [
            {
                "pid": worker.pid,
                "calls": worker.calls,
                "draining": worker.draining,
                "overloaded": worker.overloaded,
            }
            for worker in self.roster.workers
        ]

    def clocks_run(self) -> bool:
        """Tells whether every worker's clock runs; one that hung and was killed is no worker any more."""
        now_s, most_s = time.monotonic(), HANG_S + 2 * LOOK_EVERY_S
        return all(worker.silence_s(now_s) <= most_s for worker in self.roster.workers)

    def hand_over(self, connection: socket.socket, call_id: UUID | None) -> bool:
        """Gives an AudioSocket connection to the worker that is to have its call. Tells whether it went."""
        return self.pass_on(connection.fileno(), call_id, {})

    def hand_over_media(self, descriptor: int, call_id: UUID, data: bytes) -> bool:
        """Gives a WebSocket of Asterisk's, and what has come on it, to the worker that is to have its call."""
        return self.pass_on(descriptor, call_id, {"media": str(call_id), "data": b64encode(data).decode()})

    def pass_on(self, descriptor: int, call_id: UUID | None, told: Message) -> bool:
        """Gives a connection, and what is told of it, to the worker that is to have its call. Tells whether it went."""
        worker = self.roster.roomiest() if call_id is None else self.roster.place(call_id)
        if self.roster.was_announced(call_id):
            told = {**told, ANNOUNCED: str(call_id)}
        return worker is not None and worker.hand_over(descriptor, self.roster.elsewhere(worker), told)

    def reload(self) -> None:
        """Has every worker read the agents anew."""
        for worker in self.roster.workers:
            worker.reload()

    def roll(self) -> None:
        """Puts new workers in the place of all, one by one: calls in progress end in peace with the old ones."""
        if self._rolling is not None and not self._rolling.done():
            log.warning("the workers are being replaced already")
            return
        self._rolling = _spawn(self._roll(), self._starting)

    async def retire(self) -> None:
        """Starts no more workers, has each end once its last call has ended, and waits for that."""
        self._stopping = True
        await _cancel(self._starting)
        for worker in self.roster.workers:
            worker.drain()
        await asyncio.gather(*(worker.ended() for worker in self.roster.workers))

    async def stop(self, timeout_s: float) -> None:
        """Ends the workers, each as a server ends on SIGTERM, and kills what is left after `timeout_s`."""
        self._stopping = True
        await _cancel(self._starting)
        workers = list(self.roster.workers)
        for worker in workers:
            worker.stop()
        ends = [asyncio.ensure_future(worker.ended()) for worker in workers]
        if ends:
            await asyncio.wait(ends, timeout=timeout_s)
        await _cancel(self._tasks)
        for worker in workers:
            await worker.close()

    async def _add(self) -> None:
        self._started += 1
        self._coming += 1
        try:
            worker = await self._start(self._link, self._folder, self._started)
        finally:
            self._coming -= 1
        self.join(worker)
        log.info("worker ready", worker=worker.pid)

    def join(self, worker: WorkerProcess) -> None:
        """Takes a process among the workers, until it ends."""
        self.roster.add(worker)
        _spawn(self._attend(worker), self._tasks)

    async def _attend(self, worker: WorkerProcess) -> None:
        """Waits for a worker's end, and has another put in its place where it was not to end."""
        status = await worker.ended()
        self.roster.remove(worker)
        self._told.pop(worker, None)
        await worker.close()
        mark_process_dead(worker.pid, str(self._folder))  # type: ignore[no-untyped-call]  # its gauges; what it counted stays
        if worker.draining and status == 0:
            log.info("worker ended", worker=worker.pid)
        else:
            log.error("a worker is lost, its calls go back to their dialplans", worker=worker.pid, status=status)
        self._fill()

    def _fill(self) -> None:
        """Has workers started if there are too few."""
        if self._missing:
            _spawn(self._add_missing(), self._starting)

    @property
    def _missing(self) -> bool:
        """Tells whether those that take calls, or are about to, are too few. Those that drain take none."""
        staying = sum(not worker.draining for worker in self.roster.workers)
        return not self._stopping and staying + self._coming < self._size

    async def _add_missing(self) -> None:
        while self._missing:
            now_s = time.monotonic()
            lately = sum(now_s - lost_at_s < LATELY_S for lost_at_s in self._lost_at_s)
            self._lost_at_s.append(now_s)
            await asyncio.sleep(RESTART_DELAYS_S[min(lately, len(RESTART_DELAYS_S) - 1)])
            if not self._missing:
                return
            try:
                await self._add()
            except WorkerFailed as error:
                log.error("no worker starts; trying again", error=str(error))

    async def _roll(self) -> None:
        old = [worker for worker in self.roster.workers if not worker.draining]
        log.info("the workers are replaced", workers=len(old))
        for worker in old:
            if worker not in self.roster.workers:  # it was lost, and what comes in its place is new
                continue
            try:
                await self._add()
            except WorkerFailed as error:
                log.error("a new worker does not start, the old ones stay", error=str(error))
                self._fill()
                return
            worker.drain()
            self._fill()  # one may have been lost meanwhile
        log.info("the workers were replaced", workers=len(old))

    def look(self, now_s: float) -> None:
        """Kills every worker whose clock does not run, and tells each how many calls the others have."""
        for worker in self.roster.workers:
            if (silence_s := worker.silence_s(now_s)) > HANG_S:
                log.error("a worker's clock does not run", worker=worker.pid, seconds=round(silence_s, 1))
                worker.kill()
            elsewhere = self.roster.elsewhere(worker)
            if self._told.get(worker) != elsewhere:
                worker.tell_elsewhere(elsewhere)
                self._told[worker] = elsewhere

    async def _look_after_clocks(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look(time.monotonic())


def _spawn(work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    among.add(task)
    task.add_done_callback(among.discard)
    return task


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tuple(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
