"""Keeps what was sent until the sound is heard that was made at the same time. No I/O, the time is handed in.

Either side may stand still for a moment and then bring all that it held back. Blocks are matched by their number, so
that this moves nothing. What a side never brings, because it was lost or there was nothing to bring, shows as a lead of
the other side that does not go away.

A telephone that sends nothing while it is quiet (DTX) begins again with one block in a tick, and so does one of which a
block was lost; a network that has held blocks back brings several at once. So what comes late waits until the next tick
tells which of them it is.
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
BURST_BLOCKS: Final = 3
"""So many blocks in the first tick after a gap were held back; fewer were made just now, and the others never come."""
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
        self._heard = 0
        """How many blocks were heard since the last frame was sent."""
        self._unmatched = 0
        """How many blocks were heard and have not been matched yet."""
        self.waits = False
        """True while it is not known whether what was heard comes late or others before it never come."""
        self._least: float = math.inf
        self._greatest: float = -math.inf
        """The leads of what was sent, at the blocks heard since it was judged last."""
        self._usual = self._usual_greatest = LEAD_BLOCKS
        """These when it was judged last."""
        self._limit = LEAD_BLOCKS
        """Which lead is none, while it waits."""
        self._skipped: list[Floats] = []
        """Blocks sent in whose time nothing was heard."""

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
            self._least -= len(self._sent) == MOST_BLOCKS  # the oldest makes room
            self._sent.append(block)
        if not self._heard:
            self._silent_ticks += 1
            if self._silent_ticks == GAP_TICKS:
                self._begin_to_judge()
            return
        self._heard = self._silent_ticks = 0
        self._ticks += 1
        if self.waits:
            self._skip(self._limit)
        elif self._ticks >= JUDGED_TICKS:
            self._judge()

    def hear(self) -> None:
        """Learns that a block was heard. While `waits` is true it is better not matched yet."""
        self._unmatched += 1
        lead = len(self._sent) - self._owed - self._unmatched
        if not self._heard and self._silent_ticks:
            self._limit = self._usual if self._silent_ticks >= GAP_TICKS else self._usual_greatest
            self.waits = lead > self._limit
            if self.waits:
                self._begin_to_judge()
        self._heard += 1
        self._least, self._greatest = min(self._least, lead), max(self._greatest, lead)
        if lead <= self._limit or self._heard >= BURST_BLOCKS:
            self.waits = False

    def match(self) -> tuple[list[Floats], Floats]:
        """Returns the blocks to which nothing heard belongs, and then the one that belongs to the next block heard."""
        self._unmatched -= 1
        skipped, self._skipped = self._skipped, []
        if self._sent:
            return skipped, self._sent.popleft()
        self._owed += 1
        return skipped, self._silence

    def _judge(self) -> None:
        """Leaves out what has led all the time. Which of the two comes first in a tick is chance, and no lead."""
        if self._least >= 0 and self._greatest <= self._least + 1:  # neither side has stood still
            self._usual = min(int(self._least), LEAD_BLOCKS)
            self._usual_greatest = self._usual + (self._greatest > self._least)
        self._skip(LEAD_BLOCKS)

    def _skip(self, lead: int) -> None:
        """Leaves out by how much what was sent leads by more than this."""
        for _ in range(max(int(self._least) - lead, 0)):
            self._skipped.append(self._sent.popleft())
        self.waits = False
        self._begin_to_judge()

    def _begin_to_judge(self) -> None:
        self._ticks, self._least, self._greatest = 0, math.inf, -math.inf
