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

from bridge.line.clock import REBASE_S, TICK_S

LEAD_BLOCKS: Final = 1
"""How many blocks of what was sent are kept back, so that one is there when the caller's sound comes a little early. No
echo is back sooner."""
MOST_BLOCKS: Final = 250
"""How much is kept: as much as a network may hold back, 5 s."""
JUDGED_TICKS: Final = 10
"""For how long one side must lead, 0.2 s, until the other is taken to have lost what is missing."""
GAP_TICKS: Final = 3
"""After so many frames sent with nothing heard it is judged anew."""

Floats = NDArray[np.float32]


class EchoReference:
    """What was sent in one call and has not been matched yet, in blocks of 20 ms."""

    def __init__(self, silence: Floats) -> None:
        """`silence` is a block of it."""
        self._silence = silence
        self._sent: deque[Floats] = deque([silence] * LEAD_BLOCKS, maxlen=MOST_BLOCKS)
        self._owed = 0
        """How many blocks were taken for silence because they had not been sent yet."""
        self._due_s: float | None = None
        """When the next frame is due by the clock that sends them; None before the first."""
        self._ticks = self._silent_ticks = 0
        """How many frames were sent since it was judged last with something heard before them, and how many without."""
        self._hears = False
        """Whether anything was heard since the last frame was sent."""
        self._least: float = math.inf
        self._most: float = -math.inf
        """The least and the most lead of what was sent, at the blocks heard since it was judged last."""

    def skipped(self, now_s: float) -> None:
        """Puts silence in place of the frames that the clock has dropped before the one of now, because it was late."""
        due_s = now_s if self._due_s is None else self._due_s
        count = math.floor((now_s - due_s) / TICK_S) if now_s - due_s > REBASE_S else 0
        self._due_s = min(due_s + count * TICK_S, now_s) + TICK_S
        for _ in range(min(count, MOST_BLOCKS)):
            self.push(self._silence)

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
        lead = len(self._sent) - self._owed
        self._least, self._most = min(self._least, lead), max(self._most, lead)
        return block

    def _judge(self) -> None:
        """Brings the two sides together if one of them has led all the time. Which comes first in a tick is chance."""
        if self._least > LEAD_BLOCKS:
            for _ in range(min(int(self._least) - LEAD_BLOCKS, len(self._sent))):
                self._sent.popleft()
        elif self._most < 0:
            self._owed = max(self._owed + int(self._most), 0)
        self._begin_to_judge()

    def _begin_to_judge(self) -> None:
        self._ticks, self._least, self._most = 0, math.inf, -math.inf
