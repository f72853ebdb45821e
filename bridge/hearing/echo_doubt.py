"""Whether an echo may come sooner or later than is known: a telephone's buffer grows and shrinks, mostly in pauses."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.echo_gate import AUDIBLE

DOUBTED_BLOCKS: Final = 60
"""How much of the agent's sound the path is doubted for at most, 1.2 s: by then the finder has found another."""
SURE_SHARE: Final = 0.25
SURE_BLOCKS: Final = 3
"""After so many blocks of whose power so little is left, the path is the one that the filter knows."""
WRONG_BLOCKS: Final = 2
"""After so many blocks in a row that the filter makes louder, it is doubted."""


class EchoDoubt:
    """What is known of one call's filter. Powers are of samples in ±1. No I/O."""

    def __init__(self) -> None:
        self._blocks = 0
        """For how many more blocks of the agent's sound the path is doubted."""
        self._gain = 0.0
        """How much of the power sent came back before that."""
        self._sure = self._wrong = 0
        """How many blocks the filter has made much quieter since, and how many in a row it has made louder."""

    def begin(self, gain: float) -> None:
        """Doubts the path, of which `gain` is the power that comes back of 1."""
        if not self._blocks:
            self._gain = gain
        self._blocks, self._sure, self._wrong = DOUBTED_BLOCKS, 0, 0

    def look(self, rest: float, heard: float, echo: float, gain: float) -> None:
        """Learns what the filter has made of a block `heard`: the `echo` that it took out, and the `rest`."""
        if echo <= max(AUDIBLE, SURE_SHARE * heard):
            return
        self._wrong = self._wrong + 1 if rest > heard else 0
        if self._wrong >= WRONG_BLOCKS:
            self.begin(gain)
        elif rest < SURE_SHARE * heard:
            self._sure += 1
            if self._sure >= SURE_BLOCKS:
                self._blocks = 0

    def power(self, sent: NDArray[np.float32], *, audible: bool) -> float:
        """Returns how loud an echo may be that is due at no known time; 0 while the filter is right.

        `sent` are the powers of what may come back, and `audible` tells whether the agent is in this block.
        """
        if not self._blocks:
            return 0.0
        self._blocks -= audible
        return self._gain * float(sent.max())
