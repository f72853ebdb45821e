"""Learns how loud a caller speaks, and tells by that whether a voice is somebody beside them. No I/O."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

LEAST_WINDOWS: Final = 10
"""How many windows of speech, 320 ms, are enough to learn from: a single "yes" may be louder or softer than usual."""
COMPARED_WINDOWS: Final = 4
"""Over how many windows, 128 ms, a voice is compared: a word's first sound alone is soft in any mouth."""
RISE: Final = 0.7
FALL: Final = 0.3
"""How fast the level follows louder speech, and softer speech, which may have been somebody else's."""
TALKS_ON_WINDOWS: Final = 78
"""Whoever talks for so long without a gap, 2.5 s, means the agent, however softly."""


class CallerLevel:
    """The caller's own level, and the level of the voice that is heard now. Give it every window of the audio."""

    def __init__(self, margin_db: float) -> None:
        """A voice that is softer than the caller's by more than `margin_db` is somebody else's; with 0 nobody's is."""
        self._margin_db = margin_db
        self._own_dbfs: float | None = None
        """What the caller's speech has been like so far; None until there was some."""
        self._recent: deque[float] = deque(maxlen=COMPARED_WINDOWS)
        """The powers of the latest windows of the voice."""
        self._run = 0
        self._learnt_power = 0.0
        self._learnt = 0

    def hear(self, level_dbfs: float, *, voiced: bool) -> None:
        """Takes the next window."""
        if not voiced:
            self._recent.clear()
            self._run = 0
            return
        self._recent.append(10 ** (level_dbfs / 10))
        self._run += 1

    def is_beside(self) -> bool:
        """Tells whether the voice that is heard now is somebody's who does not mean the agent."""
        if not self._margin_db or self._own_dbfs is None or not self._recent or self._run >= TALKS_ON_WINDOWS:
            return False
        return 10 * math.log10(sum(self._recent) / len(self._recent) + 1e-10) < self._own_dbfs - self._margin_db

    def learn(self, level_dbfs: float) -> None:
        """Takes a window of what the caller says to an agent that is silent."""
        self._learnt_power += 10 ** (level_dbfs / 10)
        self._learnt += 1

    def learnt(self) -> None:
        """Notes that the caller has fallen silent: what was said counts, if it was long enough."""
        if self._learnt >= LEAST_WINDOWS:
            said_dbfs = 10 * math.log10(self._learnt_power / self._learnt + 1e-10)
            own_dbfs = said_dbfs if self._own_dbfs is None else self._own_dbfs
            self._own_dbfs = own_dbfs + (RISE if said_dbfs > own_dbfs else FALL) * (said_dbfs - own_dbfs)
        self._learnt_power, self._learnt = 0.0, 0
