"""Keeps what was sent until the sound is heard that was made at the same time. No I/O, the time is handed in.

Either side may stand still for a moment and then bring all that it held back. Blocks are matched by their number, so
that this moves nothing. What a side never brings, because it was lost or there was nothing to bring, shows as a lead of
the other side that does not go away.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.line.clock import TICK_S, missed_ticks

LEAD_BLOCKS: Final = 1
"""How many blocks of what was sent are kept back, so that one is there when the caller's sound comes a little early. No
echo is back sooner."""
MOST_BLOCKS: Final = 250
"""How much is kept: as much as a network may hold back, 5 s."""
JUDGED_TICKS: Final = 10
"""For how long what was sent must lead, 0.2 s, until what was heard then is taken to be lost."""
GAP_TICKS: Final = 3
"""After so many frames sent with nothing heard it is judged anew."""
OWED_TICKS: Final = 6
"""For how many frames what is heard may lead until what was sent is taken to be lost: the clock makes up for three."""

Floats = NDArray[np.float32]


class EchoReference:
    """What was sent in one call and has not been matched yet, in blocks of 20 ms."""

    def __init__(self, silence: Floats) -> None:
        """`silence` is a block of it."""
        self._silence = silence
        self._sent: deque[Floats] = deque([silence] * LEAD_BLOCKS, maxlen=MOST_BLOCKS)
        self._owed = self._owed_ticks = 0
        """How many blocks were taken for silence because they had not been sent, and for how many ticks some are."""
        self._due_s: float | None = None
        """When the clock sends the next frame; None before the first."""
        self._ticks = self._silent_ticks = 0
        """How many frames were sent since it was judged last with something heard before them, and how many without."""
        self._hears = False
        """Whether anything was heard since the last frame was sent."""
        self._least: float = math.inf
        """The least lead of what was sent, at the blocks heard since it was judged last."""

    def tick(self, now_s: float) -> None:
        """Learns that a frame leaves, and puts silence in place of those that the clock, being late, has dropped."""
        due_s = now_s if self._due_s is None else self._due_s
        count = missed_ticks(now_s - due_s)
        self._due_s = min(due_s + count * TICK_S, now_s) + TICK_S
        for _ in range(min(count, MOST_BLOCKS)):
            self.push(self._silence)
        self._owed_ticks = self._owed_ticks + 1 if self._owed else 0
        if self._owed_ticks > OWED_TICKS:
            self._owed = self._owed_ticks = 0

    def push(self, block: Floats) -> None:
        """Takes the next block that was sent."""
        if self._owed:
            self._owed -= 1
        else:
            self._sent.append(block)
        self._silent_ticks = 0 if self._hears else self._silent_ticks + 1
        if self._silent_ticks == GAP_TICKS:
            self._begin_to_judge()
        if self._hears:
            self._hears = False
            self._ticks += 1
            if self._ticks >= JUDGED_TICKS:
                self._judge()

    def pop(self) -> Floats:
        """Returns the block that belongs to the next block heard."""
        if self._sent:
            block = self._sent.popleft()
        else:
            self._owed += 1
            block = self._silence
        self._hears = True
        self._least = min(self._least, len(self._sent) - self._owed)
        return block

    def _judge(self) -> None:
        """Leaves out what has led all the time. Which of the two comes first in a tick is chance, and no lead."""
        for _ in range(max(int(self._least) - LEAD_BLOCKS, 0)):
            self._sent.popleft()
        self._begin_to_judge()

    def _begin_to_judge(self) -> None:
        self._ticks, self._least = 0, math.inf
