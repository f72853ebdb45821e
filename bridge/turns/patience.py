"""Learns how long a sound without words may hold the agent. No I/O, the time is handed in."""

from __future__ import annotations

import math
from typing import Final

SPEECH_LIMIT_S: Final = 10.0
"""A sound that lasts this long without a word or an end is no speech, or its recogniser is gone."""


class Patience:
    """Learns how soon words come while the caller speaks; a sound without words for much longer is no speech."""

    def __init__(self) -> None:
        self._onset_s = math.inf
        """When the present sound began."""
        self._words_after_s = 0.0
        """The longest time so far from the beginning of a sound to words in it; 0 if none has had words yet."""

    def sound_began(self, now_s: float) -> None:
        """Notes that the caller has begun to make a sound."""
        self._onset_s = now_s

    def words_came(self, now_s: float) -> None:
        """Notes that the first words have come while the sound goes on."""
        self._words_after_s = max(self._words_after_s, now_s - self._onset_s)

    def limit_s(self, least_s: float) -> float:
        """Returns how long a sound without words may hold the agent, `least_s` or more."""
        if not self._words_after_s:
            return SPEECH_LIMIT_S
        return min(max(2 * self._words_after_s, least_s), SPEECH_LIMIT_S)
