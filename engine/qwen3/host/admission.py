"""Admission: how many sentences the model's process is asked for at once, and when one more is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from engine.speech import EngineBusy

# The sentences that may wait for each place in the batch: so many of calls, and as many of others.
WAITING_PER_PLACE: Final = 4


class Admission:
    """Counts the sentences that are being made or wait: those of calls, which are heard live, apart from others."""

    def __init__(self, max_batch: int, on_work: Callable[[bool], None]) -> None:
        """`on_work` is told whether any sentence is being made or waits, whenever that may have changed."""
        self._max_batch = max_batch
        self._on_work = on_work
        self._users = {True: 0, False: 0}
        self.capacity: int | None = None
        """The sentences at once that the GPU was found to keep up with, where that was measured."""
        self.refused = 0
        """Sentences refused so far."""
        self.quiet = asyncio.Event()
        """Set while no sentence is being made or waits."""
        self.quiet.set()

    @property
    def places(self) -> int:
        """The sentences that can be made at once."""
        return self._max_batch if self.capacity is None else self.capacity

    @property
    def users(self) -> int:
        """The sentences that are being made or wait."""
        return sum(self._users.values())

    def check(self, live: bool) -> None:
        """Raises EngineBusy where as many sentences wait as may."""
        if self._users[live] >= self.places * (1 + WAITING_PER_PLACE):
            self.refused += 1
            raise EngineBusy(f"{self._users[live]} sentences are being made or wait, of {self.places} at once")

    def refuse(self) -> EngineBusy:
        """Counts a sentence for which the process had no place in time. Returns the error for whoever waits for it."""
        self.refused += 1
        return EngineBusy(f"no place among {self.places} sentences at once came free in time")

    def begin(self, live: bool) -> None:
        """Counts one sentence more."""
        self._users[live] += 1
        self.quiet.clear()
        self._on_work(True)

    def end(self, live: bool) -> None:
        """Counts one sentence less."""
        self._users[live] -= 1
        if not self.users:
            self.quiet.set()
        self._on_work(self.users > 0)
