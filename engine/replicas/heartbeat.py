"""Whether a replica is still there, told by what comes from it; no I/O."""

from __future__ import annotations

from typing import Final

EVERY_S: Final = 0.1
"""How often it is looked whether anything has come: as often as a replica tells how much room it has."""
MISSED: Final = 5
"""So many times in a row nothing has come from one that is dead, hangs, or cannot be reached any more."""


class Heartbeat:
    """Counts its own looks, not the time: where this process was held up itself, what has come waits to be read."""

    def __init__(self) -> None:
        self._read = 0
        self._missed = 0

    def stopped(self, read: int) -> bool:
        """Takes how many times anything was read so far. Tells whether the replica is to be taken for dead."""
        self._missed = self._missed + 1 if read == self._read else 0
        self._read = read
        return self._missed >= MISSED
