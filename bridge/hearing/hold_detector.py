"""Tells by its sound that a caller has put the line on hold: music or tones, and nobody who speaks. No I/O.

Music and tones have most of their power in few frequencies, which noise has not. So have vowels, but the voice detector
hears those. Music with singing, and silence, cannot be told from a caller.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from bridge.hearing.events import HoldBegan, HoldEnded
from bridge.hearing.speech_gate import WINDOW_MS

BLOCK_WINDOWS: Final = 4
"""How many windows are looked at together: 128 ms, in which neighbouring notes are apart."""
BLOCKS: Final = 24
"""How many blocks, 3 s, are judged."""
LEAST_MUSICAL: Final = 10
LEAST_SHARE: Final = 0.75
"""How many of the blocks, and how many of those that are not silent, have to be music or tone."""
PEAKED: Final = 0.5
"""The share of a block's power that lies in peaks: above 0.9 in most music, under 0.1 in noise."""
PEAK: Final = 8.0
"""How far above the median of its neighbours a frequency is a peak."""
BANDS, BAND_BINS, FIRST_BIN = 21, 20, 20
"""The frequencies that are looked at: 21 bands of 156 Hz, from 156 Hz on."""
HANN: Final = np.hanning(BLOCK_WINDOWS * WINDOW_MS * 8).astype(np.float32)
LOUD_DBFS: Final = -45.0
"""Softer sound is no hold music."""
SOFTER_DB: Final = 7.0
"""Music so much softer than the caller's speech is in the caller's room. What a telephone system plays is as loud."""
OWN_WINDOWS: Final = 93
"""The caller's level is that of the latest windows of speech, 3 s."""
OWN_LEAST_WINDOWS: Final = 15
SPEECH: Final = 0.5
BEFORE_BLOCKS: Final = 11
"""How long there has to have been neither music nor speech before, 1.4 s: what was there from the start is the room,
also where a network holds the first second back."""
BACK_WINDOWS: Final = 18
BACK_SHARE: Final = 0.6
"""The caller is back when so many of the latest windows, 576 ms, are speech."""
QUIET_WINDOWS: Final = 62
"""The caller is back, and says nothing, when the music has been over for so long: 2 s, more than it rests."""
BEHIND_MS: Final = 2_000
"""Music that is there again so soon after the caller has spoken is behind the caller, and no hold."""


class HoldDetector:
    """One call's. Give it every window, with the detector's probability of speech."""

    def __init__(self) -> None:
        self.held = False
        self._windows: list[NDArray[np.float32]] = []
        self._level_dbfs: list[float] = []
        self._speaks = False
        """Whether there is speech in the present block."""
        self._blocks: deque[bool | None] = deque(maxlen=BLOCKS)
        """Whether each block was music; None for a silent one."""
        self._music_power: deque[float] = deque(maxlen=LEAST_MUSICAL)
        self._own_power: deque[float] = deque(maxlen=OWN_WINDOWS)
        self._others = 0
        """How many blocks in a row have been neither music nor speech, at most so far."""
        self._others_now = 0
        self._voiced: deque[bool] = deque(maxlen=BACK_WINDOWS)
        self._unmusical = 0
        self._last_speech_ms = -BEHIND_MS
        self._spoke_into_it = False
        """True if the latest hold was ended by speech."""
        self._is_behind = False

    def push(
        self, window: NDArray[np.float32], probability: float, level_dbfs: float, at_ms: int
    ) -> HoldBegan | HoldEnded | None:
        """Takes the next window, which ends at `at_ms`. Returns what it makes, or None."""
        voiced = probability >= SPEECH
        self._voiced.append(voiced)
        self._speaks = self._speaks or voiced
        if voiced:
            self._last_speech_ms = at_ms
            self._own_power.append(10 ** (level_dbfs / 10))
        self._windows.append(window)
        self._level_dbfs.append(level_dbfs)
        if self.held and sum(self._voiced) >= BACK_SHARE * BACK_WINDOWS:
            return self._end(at_ms, by_speech=True)
        if len(self._windows) < BLOCK_WINDOWS:
            return None
        musical = self._judge()
        self._windows, self._level_dbfs, self._speaks = [], [], False
        if self.held:
            self._unmusical = 0 if musical else self._unmusical + BLOCK_WINDOWS
            return self._end(at_ms, by_speech=False) if self._unmusical >= QUIET_WINDOWS else None
        return self._begin(at_ms) if musical else None

    def _judge(self) -> bool:
        loud = sum(self._level_dbfs) / BLOCK_WINDOWS > LOUD_DBFS
        musical = loud and not self._speaks and peaked_share(np.concatenate(self._windows)) >= PEAKED
        self._blocks.append(musical if loud or self._speaks else None)
        if musical:
            self._music_power.append(10 ** (sum(self._level_dbfs) / BLOCK_WINDOWS / 10))
        self._others_now = 0 if musical or self._speaks else self._others_now + 1
        self._others = max(self._others, self._others_now)
        return musical

    def _begin(self, at_ms: int) -> HoldBegan | None:
        musical, heard = self._blocks.count(True), len(self._blocks) - self._blocks.count(None)
        if self._is_behind or self._others < BEFORE_BLOCKS or musical < LEAST_MUSICAL or musical < LEAST_SHARE * heard:
            return None
        if self._is_softer():
            return None
        since = len(self._blocks) - self._blocks.index(True)
        began_ms = at_ms - since * BLOCK_WINDOWS * WINDOW_MS
        if self._spoke_into_it and began_ms - self._last_speech_ms < BEHIND_MS:
            self._is_behind = True
            return None
        self.held, self._unmusical = True, 0
        self._voiced.clear()
        return HoldBegan(max(began_ms, 0))

    def _is_softer(self) -> bool:
        """Tells whether the music is too soft beside the caller's speech, as far as there was any."""
        if len(self._own_power) < OWN_LEAST_WINDOWS:
            return False
        own, music = sum(self._own_power) / len(self._own_power), sum(self._music_power) / len(self._music_power)
        return music < own * 10 ** (-SOFTER_DB / 10)

    def _end(self, at_ms: int, *, by_speech: bool) -> HoldEnded:
        self.held, self._spoke_into_it = False, by_speech
        self._blocks.clear()
        self._voiced.clear()
        return HoldEnded(at_ms)


def peaked_share(block: NDArray[np.float32]) -> float:
    """Returns the share of a block's power that lies in frequencies far above the median of their band."""
    spectrum = rfft(block * HANN)[FIRST_BIN : FIRST_BIN + BANDS * BAND_BINS]
    bands = (spectrum.real**2 + spectrum.imag**2).reshape(BANDS, BAND_BINS)
    ordered = np.sort(bands, axis=1)  # `np.median` takes seven times as long for rows as short as these
    twice_median = ordered[:, BAND_BINS // 2 - 1 : BAND_BINS // 2] + ordered[:, BAND_BINS // 2 : BAND_BINS // 2 + 1]
    peaks = bands > PEAK / 2 * twice_median
    return float(np.vdot(bands, peaks) / (bands.sum() + 1e-12))
