"""Learns how a caller's voice sounds, and tells by that whether a voice is somebody beside them. No I/O.

Level alone cannot tell: a caller who interrupts softly is as soft as somebody loud at the next table. So a voice that
also has another pitch, or comes through a room, counts as softer than it is.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Final

from bridge.hearing.voice_traits import Traits

LEAST_WINDOWS: Final = 10
"""How many windows of speech, 320 ms, are enough to learn from: a single "yes" may be louder or softer than usual."""
COMPARED_WINDOWS: Final = 4
"""Over how many windows, 128 ms, a level is compared: a word's first sound alone is soft in any mouth."""
RISE: Final = 0.7
FALL: Final = 0.3
"""How fast the level follows louder speech, and softer speech, which may have been somebody else's."""
TALKS_ON_WINDOWS: Final = 78
"""Whoever talks for so long without a gap, 2.5 s, means the agent, however softly."""
REMEMBERED_WINDOWS: Final = 240
"""Out of how much of the caller's speech, 8 s, pitch and peaks are learnt."""
GAP_WINDOWS: Final = 15
"""After so long a silence, 480 ms, somebody else may speak."""
LEAST_TRAITS: Final = 2
"""From how many windows a pitch, or peaks, are compared."""
PITCH_RANGE: Final = 3.5
"""By how many semitones the pitch of one voice may differ from its usual one."""
PITCH_DB: Final = 2.0
"""For how many dB each semitone beyond that counts."""
PEAKS_RANGE: Final = 2.0
"""By how much less peaked one voice may be than usual."""
PEAKS_DB: Final = 5.0
"""For how many dB each unit beyond that counts."""
MOST_DB: Final = 8.0
"""For how many dB either may count: a loud voice is the caller's, whatever it is like."""


class CallerVoice:
    """The caller's own voice, and the voice that is heard now. Give it every window of the audio."""

    def __init__(self, margin_db: float) -> None:
        """A voice that counts as softer than the caller's by more than `margin_db` is not theirs; with 0 all are."""
        self._margin_db = margin_db
        self._own_dbfs: float | None = None
        """What the caller's speech has been like so far; None until there was some."""
        self._own_pitches: deque[float] = deque(maxlen=REMEMBERED_WINDOWS)
        self._own_peaks: deque[float] = deque(maxlen=REMEMBERED_WINDOWS)
        self._recent: deque[float] = deque(maxlen=COMPARED_WINDOWS)
        """The powers of the latest windows of the voice."""
        self._pitches: deque[float] = deque(maxlen=TALKS_ON_WINDOWS)
        self._peaks: deque[float] = deque(maxlen=TALKS_ON_WINDOWS)
        self._run = 0
        self._gap = 0
        self._learnt: list[tuple[float, Traits | None]] = []
        """Power and traits of each window of what the caller is saying to an agent that is silent."""

    def hear(self, level_dbfs: float, traits: Traits | None, *, voiced: bool) -> None:
        """Takes the next window, and what the voice in it is like, if there is one and that is known."""
        if not voiced:
            self._recent.clear()
            self._run = 0
            self._gap += 1
            if self._gap >= GAP_WINDOWS:
                self._pitches.clear()
                self._peaks.clear()
            return
        self._gap = 0
        self._run += 1
        self._recent.append(10 ** (level_dbfs / 10))
        if traits is not None:
            _keep(traits, self._pitches, self._peaks)

    def is_beside(self) -> bool:
        """Tells whether the voice that is heard now is somebody's who does not mean the agent."""
        if not self._margin_db or self._own_dbfs is None or not self._recent or self._run >= TALKS_ON_WINDOWS:
            return False
        softer_db = self._own_dbfs - 10 * math.log10(sum(self._recent) / len(self._recent) + 1e-10)
        return softer_db + self._unlike_db() > self._margin_db

    def learn(self, level_dbfs: float, traits: Traits | None) -> None:
        """Takes a window of what the caller says to an agent that is silent."""
        self._learnt.append((10 ** (level_dbfs / 10), traits))
        del self._learnt[:-REMEMBERED_WINDOWS]

    def learnt(self) -> None:
        """Notes that the caller has fallen silent: what was said counts, if it was long enough."""
        if len(self._learnt) >= LEAST_WINDOWS:
            said_dbfs = 10 * math.log10(sum(power for power, _ in self._learnt) / len(self._learnt) + 1e-10)
            own_dbfs = said_dbfs if self._own_dbfs is None else self._own_dbfs
            self._own_dbfs = own_dbfs + (RISE if said_dbfs > own_dbfs else FALL) * (said_dbfs - own_dbfs)
            for _, traits in self._learnt:
                if traits is not None:
                    _keep(traits, self._own_pitches, self._own_peaks)
        self._learnt = []

    def _unlike_db(self) -> float:
        """Returns for how many dB it counts that the voice is not like the caller's."""
        unlike_db = 0.0
        if min(len(self._pitches), len(self._own_pitches)) >= LEAST_TRAITS:
            semitones = abs(median(self._pitches) - median(self._own_pitches))
            unlike_db += min(PITCH_DB * max(semitones - PITCH_RANGE, 0.0), MOST_DB)
        if min(len(self._peaks), len(self._own_peaks)) >= LEAST_TRAITS:
            less = median(self._own_peaks) - median(self._peaks)
            unlike_db += min(PEAKS_DB * max(less - PEAKS_RANGE, 0.0), MOST_DB)
        return unlike_db


def _keep(traits: Traits, pitches: deque[float], peaks: deque[float]) -> None:
    if traits.pitch is not None:
        pitches.append(traits.pitch)
    peaks.append(traits.peaks)
