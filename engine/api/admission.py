"""Who may have audio made, or bring a recording: so many at once, and never nearly all of them for one client."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from engine.api.pace import Pace
from engine.web.errors import queue_full

SHARE: Final = 7
"""An address may hold so many times as many places as are free: seven in eight if it is alone, less beside others."""
LATELY: Final = 32
"""The number of requests from which the wait of a refused one is told."""
BEHIND_S: Final = 5.0
"""A client that has been waited for so much longer than its audio plays loses its place to one that finds none."""


class Admission:
    """The places of all requests of one kind."""

    def __init__(self, places: int, full: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`places` is their number; 0 for no limit. `full` tells whoever finds none what they are for."""
        self._places = places
        self._full = full
        self._clock = clock
        self._held_s: deque[float] = deque(maxlen=LATELY)
        """The seconds for which each of the last places was held."""
        self._began_s: dict[Pace, float] = {}
        """When each client that is being served began."""
        self._addresses: dict[Pace, str] = {}
        """Of each client that has a place."""

    @property
    def taken(self) -> int:
        """The number of places that are taken."""
        return len(self._addresses)

    @contextmanager
    def place(self, address: str, pace: Pace) -> Iterator[None]:
        """Takes a place for a client at `address`. Raises ApiError where there is none."""
        if self._places:
            self._make_room(address)
        self._addresses[pace] = address
        self._began_s[pace] = self._clock()
        try:
            yield
        finally:
            self._addresses.pop(pace, None)  # it may have lost it
            self._held_s.append(self._clock() - self._began_s.pop(pace))

    def _wait_s(self) -> float:
        """Returns how long a place is held at most: after so long, those who hold one now have left it."""
        now_s = self._clock()
        return max((*self._held_s, *(now_s - began_s for began_s in self._began_s.values())), default=0.0)

    def _make_room(self, address: str) -> None:
        free = self._places - self.taken
        own = [pace for pace, other in self._addresses.items() if other == address]
        if len(own) < SHARE * free:
            return
        slowest = max(own if free else self._addresses, key=lambda pace: pace.behind_s)
        if slowest.behind_s <= BEHIND_S:
            whose = f", {len(own)} of them for {address}" if free else ""
            raise queue_full(f"{self.taken} {self._full}{whose}, of {self._places} at most", self._wait_s())
        del self._addresses[slowest]
        slowest.give_up()
