"""Whether a caller only asks if anybody is there, because the answer is late. No I/O, the time is handed in."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

REACTION_S: Final = 1.0
"""Whoever makes a sound so soon after the answer's first one had begun to before they heard it."""
MOST_SOUNDS: Final = 8


class Impatience:
    """The nudges of a caller, "hello?", between their question and its answer."""

    def __init__(self) -> None:
        self.shown = False
        """True once the caller has nudged an agent that thinks: what they say on does not hold the answer back."""
        self._heard_s = math.inf
        """When the answer began to be heard."""
        self._sounds_s: deque[float] = deque(maxlen=MOST_SOUNDS)
        """When those sounds of the caller began whose words have not come, oldest first."""

    def over(self) -> None:
        """Notes that another answer is to be waited for, or none."""
        self.shown = False
        self._heard_s = math.inf
        self._sounds_s.clear()

    def heard(self, now_s: float) -> None:
        """Notes that the answer is being heard."""
        self._heard_s = min(self._heard_s, now_s)

    def sound_began(self, now_s: float) -> None:
        """Notes that the caller has begun to make a sound."""
        self._sounds_s.append(now_s)

    def words_complete(self, now_s: float) -> bool:
        """Notes that all the words of the oldest sound have come; returns what `was_late` tells of it."""
        late = self.was_late(now_s)
        if self._sounds_s:
            self._sounds_s.popleft()
        return late

    def was_late(self, now_s: float) -> bool:
        """Tells whether the oldest sound was begun before the caller can have known that the answer is there."""
        began_s = self._sounds_s[0] if self._sounds_s else now_s
        return began_s < self._heard_s + REACTION_S
