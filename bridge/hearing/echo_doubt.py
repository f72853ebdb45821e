"""Whether an echo may come sooner or later than is known, or is none: a telephone's buffer grows and shrinks, mostly in
pauses, and a few words of the caller's may be like the agent's by chance."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.echo_gate import AUDIBLE, LOUD

DOUBTED_BLOCKS: Final = 60
"""How much of the agent's sound the path is doubted for at most, 1.2 s: by then the finder has found another."""
SURE_SHARE: Final = 0.25
SURE_BLOCKS: Final = 3
"""After so many blocks of whose power so little is left, the path is the one that the filter knows."""
WRONG_BLOCKS: Final = 2
"""After so many blocks in a row that the filter makes louder, it is doubted."""
MISSING_SHARE: Final = 0.1
MISSING_BLOCKS: Final = 10
"""After so many blocks quieter than this share of the echo due in them, one that was never taken out is none."""


class EchoDoubt:
    """What is known of one call's filter. Powers are of samples in ±1. No I/O."""

    def __init__(self) -> None:
        self._blocks = 0
        """For how many more blocks of the agent's sound the path is doubted."""
        self._gain = 0.0
        """How much of the power sent came back before that."""
        self._sure = self._wrong = 0
        """How many blocks the filter has made much quieter since, and how many in a row it has made louder."""
        self._is_proven = False
        """Whether the filter has taken out an echo since one was found."""
        self._missing = 0
        """In how many blocks the echo was missing until then."""

    def restart(self) -> None:
        """Learns that an echo has been found."""
        self._is_proven, self._missing, self._sure = False, 0, 0

    def is_missing(self, heard: float, expected: float) -> bool:
        """Takes the power of a block heard and of the echo due in it. Tells whether there is no echo after all."""
        if not self._is_proven and expected > LOUD and heard < MISSING_SHARE * expected:
            self._missing += 1
        return self._missing >= MISSING_BLOCKS

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
                self._blocks, self._is_proven = 0, True

    def power(self, sent: NDArray[np.float32], *, audible: bool) -> float:
        """Returns how loud an echo may be that is due at no known time; 0 while the filter is right.

        `sent` are the powers of what may come back, and `audible` tells whether the agent is in this block.
        """
        if not self._blocks:
            return 0.0
        self._blocks -= audible
        return self._gain * float(sent.max())
