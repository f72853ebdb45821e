"""Which replicas there are, told to bridges over HTTP; no I/O of its own.

A bridge could ask Ray itself, but then it would have to be a part of the cluster: with the same versions of Ray and
Python, and a dozen ports open. A list over HTTP asks nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

NOTE_EVERY_S: Final = 1.0
"""How often a replica says that it is there. A list that was lost is whole again after that time."""
FORGOTTEN_S: Final = 5.0
"""After so long without a word a replica is not listed any more. Bridges have noticed long before."""


class Directory:
    """The addresses of the replicas that have lately said that they are there."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_s: dict[str, float] = {}

    def note(self, address: str) -> None:
        """Takes what a replica says: that it is there."""
        self._seen_s[address] = self._clock()

    def leave(self, address: str) -> None:
        """Takes that a replica is about to end."""
        self._seen_s.pop(address, None)

    async def __call__(self, request: Any) -> dict[str, list[str]]:
        """Answers a bridge."""
        return {"replicas": self.listed()}

    def listed(self) -> list[str]:
        """Returns the addresses, in order."""
        late_s = self._clock() - FORGOTTEN_S
        self._seen_s = {address: seen_s for address, seen_s in self._seen_s.items() if seen_s > late_s}
        return sorted(self._seen_s)
