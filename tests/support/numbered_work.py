"""Does numbered work in several processes, and goes on where one of them dies."""

from __future__ import annotations

import gc
import math
import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, Generic, TypeVar

AHEAD: Final = 2
"""How many numbers a process has in hand, so that it does not wait for the next one."""
LONGEST_S: Final = 300.0
"""Whoever has been at one number for so long is given up, on a busy machine too."""
LOOK_S: Final = 1.0
"""How often is looked whether somebody has."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failed:
    """A number whose work gave no result."""

    reason: str


def in_processes(
    work: Callable[[int], Result],
    numbers: Iterable[int],
    jobs: int,
    *,
    until_s: float = math.inf,
    longest_s: float = LONGEST_S,
) -> Iterator[tuple[int, Result | Failed]]:
    """Yields each number with what `work` returns for it, in the order in which they are done.

    Each process has a copy of `work` as it is now, and keeps what that has learned. None is handed a number after
    `until_s` (`time.monotonic`). Where a process dies, or is at one number for longer than `longest_s`, that number
    has failed, and another process goes on.
    """
    left, again = iter(numbers), deque[int]()
    team: list[_Worker[Result]] = []

    def hand_out(worker: _Worker[Result]) -> None:
        while len(worker.in_hand) < AHEAD and time.monotonic() < until_s:
            number = again.popleft() if again else next(left, None)
            if number is None:
                return
            worker.begin(number)

    gc.collect()
    gc.freeze()  # what there is now is shared by all processes, as long as none of them touches it
    try:
        for _ in range(jobs):
            team.append(_Worker(work, team))
            hand_out(team[-1])
        while any(worker.in_hand for worker in team):
            busy = {worker.connection: worker for worker in team if worker.in_hand}
            for ready in wait(list(busy), LOOK_S):
                worker = busy[ready]  # type: ignore[index]
                try:
                    done: Result | Failed = worker.connection.recv()
                except (EOFError, OSError):
                    done = Failed(f"its process ended with {worker.ended()}")
                yield worker.in_hand.popleft(), done
                if not worker.is_gone:
                    worker.since_s = time.monotonic()
                    hand_out(worker)
            for worker in [worker for worker in team if worker.is_gone or worker.is_stuck(longest_s)]:
                if not worker.is_gone:
                    worker.ended()
                    yield worker.in_hand.popleft(), Failed(f"it was not done after {longest_s:.0f} s")
                again.extend(worker.in_hand)
                team.remove(worker)
                team.append(_Worker(work, team))
                hand_out(team[-1])
    finally:
        gc.unfreeze()
        for worker in team:
            worker.ended()


class _Worker(Generic[Result]):
    """One process, seen from the one that hands out the numbers."""

    def __init__(self, work: Callable[[int], Result], others: Collection[_Worker[Result]]) -> None:
        context = multiprocessing.get_context("fork")
        self.in_hand: deque[int] = deque()
        self.since_s = time.monotonic()
        """When the first number in hand was begun, at the earliest."""
        self.is_gone = False
        self.connection, theirs = context.Pipe()
        ours = [self.connection, *(worker.connection for worker in others)]
        self._process: BaseProcess = context.Process(target=_serve, args=(work, theirs, ours), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, number: int) -> None:
        """Hands a number out. Whether the process lives to take it is seen later."""
        if not self.in_hand:
            self.since_s = time.monotonic()
        self.in_hand.append(number)
        with suppress(OSError):
            self.connection.send(number)

    def is_stuck(self, longest_s: float) -> bool:
        """Tells whether it has been at one number for too long."""
        return bool(self.in_hand) and time.monotonic() - self.since_s > longest_s

    def ended(self) -> str:
        """Ends the process if nothing else has, and tells how it ended."""
        self.is_gone = True
        self.connection.close()
        self._process.join(LOOK_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return f"status {self._process.exitcode}"


def _serve(work: Callable[[int], Any], connection: Connection, others: Iterable[Connection]) -> None:
    """Does what is handed to it, until the process that does so closes its end, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is meant for the process that hands out
    for other in others:
        other.close()  # else nobody would see that process's end
    with suppress(EOFError, ConnectionError):
        while True:
            number = connection.recv()
            try:
                done = work(number)
            except Exception:
                done = Failed(traceback.format_exc())
            connection.send(done)
