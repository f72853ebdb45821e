"""Tells when the sound at a place of a call's audio was made, however late it came. No I/O, the time is handed in.

Sound that a network has held back comes late and in a burst, but no sound comes before it was made. So the sound at a
place was made no later than any sound behind it came, less what lies between them.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

KEPT: Final = 500
"""How many groups of pieces are remembered; they are half a minute of sound at the least."""
GROUP_MS: Final = 100
"""How much sound is one group at most."""
LOOK_MS: Final = 6_000
"""How far behind a place sound may say when that place was made: further than any network holds sound back."""
LOST_MS: Final = 20
"""From what lateness on a piece begins a group: sound before it may have been lost."""


class _Group:
    """Pieces of sound that came one after the other with no silence filled in between them."""

    __slots__ = ("end_ms", "late_ms", "shift_ms", "start_ms")

    def __init__(self, start_ms: float, end_ms: float, shift_ms: float, late_ms: float) -> None:
        self.start_ms = start_ms
        """Where in the audio it begins."""
        self.end_ms = end_ms
        self.shift_ms = shift_ms
        """How much silence was filled in before it, less what was taken away."""
        self.late_ms = late_ms
        """When its most timely piece came, less the duration of all sound up to the end of that piece."""


class AudioClock:
    """Where the sound of one call's audio lies in the time since the answer."""

    def __init__(self) -> None:
        self._groups: deque[_Group] = deque(maxlen=KEPT)

    def came(self, start_ms: float, end_ms: float, shift_ms: float, came_ms: float) -> None:
        """Notes that the sound from `start_ms` to `end_ms` of the audio has come, `came_ms` after the answer."""
        late_ms = came_ms - (end_ms - shift_ms)
        last = self._groups[-1] if self._groups else None
        if (
            last is not None
            and last.shift_ms == shift_ms
            and late_ms - last.late_ms < LOST_MS
            and end_ms - last.start_ms <= GROUP_MS
        ):
            last.end_ms = end_ms
            last.late_ms = min(last.late_ms, late_ms)
        else:
            self._groups.append(_Group(start_ms, end_ms, shift_ms, late_ms))

    def call_ms(self, position_ms: float) -> float:
        """Returns when the sound at this place of the audio was made, counted from the answer."""
        index = len(self._groups)
        while index and self._groups[index - 1].start_ms > position_ms:
            index -= 1
        if index and position_ms < self._groups[index - 1].end_ms:
            return self._made_ms(index - 1, position_ms)
        # It is silence that was filled in between two groups, or nothing has come yet.
        made_ms = position_ms
        if index:
            made_ms += self._made_ms(index - 1, self._groups[index - 1].end_ms) - self._groups[index - 1].end_ms
        if index == len(self._groups):
            return made_ms
        return min(made_ms, self._made_ms(index, self._groups[index].start_ms))

    def forget(self) -> None:
        """Forgets the sound before the latest, because the call is over and nobody asks about it any more."""
        while len(self._groups) > 1:
            self._groups.popleft()

    def _made_ms(self, index: int, position_ms: float) -> float:
        """Returns when the sound at a place in this group was made."""
        group = self._groups[index]
        late_ms = group.late_ms
        # From the end: places that are asked about lie near it, and there may be hundreds of groups before them.
        for later in islice(reversed(self._groups), len(self._groups) - index - 1):
            if later.start_ms <= group.end_ms + LOOK_MS:
                late_ms = min(late_ms, later.late_ms)
        return position_ms - group.shift_ms + late_ms
