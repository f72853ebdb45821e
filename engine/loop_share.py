"""A share of each turn of the event loop, for work that many may bring at the same moment.

Each piece of it is short, but a hundred of them in one turn would keep the calls' frames waiting. What a turn has no
time for waits for the next ones, the most urgent first.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

SHARE_S: Final = 0.002
"""No piece of work is begun when those before it have taken so long in this turn."""
STEP_S: Final = 0.000_1
"""What a step of a task counts by itself: its own time is not measured."""

Made = TypeVar("Made")


class Job:
    """A piece of work that waits for its turn."""

    def __init__(self, work: Callable[[], None], least_s: float) -> None:
        self.work: Callable[[], None] | None = work
        self.least_s = least_s

    def cancel(self) -> None:
        """Has the work not be done."""
        self.work = None


class LoopShare:
    """What one event loop has time for in each of its turns. A lower number is more urgent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter) -> None:
        self._loop = loop
        self._clock = clock
        self._waiting: list[tuple[int, int, Job]] = []
        self._numbers = count()
        self._spent_s = 0.0
        """What this turn's work has taken."""
        self._turning = False
        """`_turn` will be called in the next turn."""

    async def do(self, work: Callable[[], Made], urgency: int, least_s: float = 0.0) -> Made:
        """Does the work, now if there is time; returns its result. It counts `least_s` even if it takes less."""
        if self.has_time:
            return self._spend(work, least_s)
        done: asyncio.Future[Made] = self._loop.create_future()

        def finish() -> None:
            if done.done():  # whoever wanted it was cancelled
                return
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._wait(Job(finish, least_s), urgency)
        return await done

    async def turn(self, urgency: int, step_s: float = STEP_S) -> None:
        """Waits until there is time for a step of the task that calls, which is to take `step_s`."""
        await self.do(_nothing, urgency, step_s)

    def run(self, work: Callable[[], None], urgency: int, least_s: float = 0.0) -> Job | None:
        """Does the work now if there is time, and returns None; otherwise returns what waits."""
        if self.has_time:
            self._spend(work, least_s)
            return None
        return self.later(work, urgency, least_s)

    def later(self, work: Callable[[], None], urgency: int, least_s: float = 0.0) -> Job:
        """Does the work in the next turn that has time for it."""
        job = Job(work, least_s)
        self._wait(job, urgency)
        return job

    @property
    def has_time(self) -> bool:
        """Work that is brought now is done at once."""
        return self._spent_s < SHARE_S and not self._waiting

    def _wait(self, job: Job, urgency: int) -> None:
        heapq.heappush(self._waiting, (urgency, next(self._numbers), job))
        self._expect_turn()

    def _spend(self, work: Callable[[], Made], least_s: float) -> Made:
        began_s = self._clock()
        try:
            return work()
        finally:
            self._spent_s += max(least_s, self._clock() - began_s)
            self._expect_turn()

    def _expect_turn(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Begins another turn."""
        self._turning = False
        self._spent_s = 0.0
        waiting, self._waiting = self._waiting, []  # what they bring waits for the next turn
        try:
            while waiting and self._spent_s < SHARE_S:
                *_, job = heapq.heappop(waiting)
                if job.work is not None:
                    self._spend(job.work, job.least_s)
        finally:
            for entry in self._waiting:
                heapq.heappush(waiting, entry)
            self._waiting = waiting
            if waiting:
                self._expect_turn()


_shares: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, LoopShare]] = WeakKeyDictionary()


def loop_share() -> LoopShare:
    """Returns the share that all of the running event loop's work has in common."""
    loop = asyncio.get_running_loop()
    share = _shares.get(loop)
    if share is None:
        share = _shares[loop] = LoopShare(loop)
    return share


def _nothing() -> None:
    pass
