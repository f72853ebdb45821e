"""Admission: how many sentences the model's process is asked for at once, and when one more is refused."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from engine.speech import EngineBusy

# The sentences that may wait for each place in the batch: so many of calls, and as many of others.
WAITING_PER_PLACE: Final = 4
ENDS_S: Final = 2.0
"""The latest seconds in which the places that came free are counted."""
KNOWN_S: Final = 0.25
"""So long all places have to have been taken before what came free meanwhile tells how long a wait will be."""
HOLD_S: Final = 1.0
"""How long a sentence is taken to hold its place until that is known."""
LAG_S: Final = 0.025
"""Sound that lay so long on its way shows that this process is behind. A first chunk is 80 ms of sound: whoever plays
it at once runs dry where the second one lies longer than that."""
LAG_KNOWN_S: Final = 0.25
"""What was seen of the lag holds for so long."""


class Admission:
    """Counts the sentences that are being made or wait: those of calls, which are heard live, apart from others.

    What begins over HTTP is promised only what can be kept. It is refused at once where it would wait for its place for
    more than `max_wait_s`, as places come free now, and where this process is behind with the sound of those it has.
    """

    def __init__(
        self,
        max_batch: int,
        on_work: Callable[[bool], None],
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_work` is told whether any sentence is being made or waits, whenever that may have changed."""
        self._max_batch = max_batch
        self._on_work = on_work
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._users = {True: 0, False: 0}
        self.capacity: int | None = None
        """The sentences at once that the GPU was found to keep up with, where that was measured."""
        self.http_capacity: int | None = None
        """How many of them may be there for one that is no call's to get a place."""
        self.refused = 0
        """Sentences refused so far."""
        self.quiet = asyncio.Event()
        """Set while no sentence is being made or waits."""
        self.quiet.set()
        self._ends: deque[float] = deque()
        """When places came free, since all have been taken."""
        self._full_since_s: float | None = None
        self._lags: deque[tuple[float, float]] = deque()
        """(when, lag), falling lags: the first is the largest that still holds."""

    @property
    def places(self) -> int:
        """The sentences that can be made at once."""
        return self._max_batch if self.capacity is None else self.capacity

    @property
    def users(self) -> int:
        """The sentences that are being made or wait."""
        return sum(self._users.values())

    @property
    def _waiting(self) -> int:
        """The sentences that wait, where those that are there leave no place to one that is no call's."""
        return self.users - (self.places if self.http_capacity is None else self.http_capacity)

    @property
    def lag_s(self) -> float:
        """How long sound lay on its way lately, at most."""
        while self._lags and self._lags[0][0] < self._clock() - LAG_KNOWN_S:
            self._lags.popleft()
        return self._lags[0][1] if self._lags else 0.0

    @property
    def wait_s(self) -> float:
        """How long one sentence more that is no call's would wait for its place."""
        now_s = self._clock()
        if self._waiting < 0:
            return 0.0
        if self._full_since_s is None or now_s - self._full_since_s < KNOWN_S:
            return (self._waiting + 1) * HOLD_S / self.places
        begun_s = max(self._full_since_s, now_s - ENDS_S)
        while self._ends and self._ends[0] < begun_s:
            self._ends.popleft()
        return (self._waiting + 1) * (now_s - begun_s) / max(len(self._ends), 0.5)

    def check(self, live: bool) -> None:
        """Raises EngineBusy where as many sentences wait as may."""
        if self._users[live] >= self.places * (1 + WAITING_PER_PLACE):
            self.refused += 1
            raise EngineBusy(f"{self._users[live]} sentences are being made or wait, of {self.places} at once")

    def check_begin(self) -> None:
        """Raises EngineBusy where a reply that begins now, and is no call's, would not be heard at once and whole."""
        self.check(live=False)
        if (lag_s := self.lag_s) > LAG_S:
            self.refused += 1
            raise EngineBusy(f"sound is {lag_s * 1e3:.0f} ms behind")
        if (wait_s := self.wait_s) > self._max_wait_s:
            self.refused += 1
            raise EngineBusy(f"a place among {self.places} would come free after {wait_s:.1f} s")

    def refuse(self) -> EngineBusy:
        """Counts a sentence for which the process had no place in time. Returns the error for whoever waits for it."""
        self.refused += 1
        return EngineBusy(f"no place among {self.places} sentences at once came free in time")

    def heard(self, sent_s: float) -> None:
        """Notes that sound has come which the process sent at `sent_s`."""
        now_s = self._clock()
        lag_s = now_s - sent_s
        while self._lags and self._lags[-1][1] <= lag_s:
            self._lags.pop()
        self._lags.append((now_s, lag_s))

    def begin(self, live: bool) -> None:
        """Counts one sentence more."""
        self._users[live] += 1
        if self._full_since_s is None and self._waiting >= 0:
            self._full_since_s = self._clock()
        self.quiet.clear()
        self._on_work(True)

    def end(self, live: bool) -> None:
        """Counts one sentence less."""
        self._users[live] -= 1
        if self._waiting < 0:
            self._full_since_s = None
            self._ends.clear()
        else:
            self._ends.append(self._clock())
        if not self.users:
            self.quiet.set()
        self._on_work(self.users > 0)
