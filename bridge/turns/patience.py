"""Learns how long a sound without words may hold the agent. No I/O, the time is handed in."""

from __future__ import annotations

import math
from typing import Final

SPEECH_LIMIT_S: Final = 10.0
"""A sound that lasts this long without a word or an end is no speech, or its recogniser is gone."""
UNKNOWN_LIMIT_S: Final = 3.0
"""The limit until the first words of the call have shown how soon a recogniser gives them."""
WORDS_SOON_S: Final = 2.0
"""A recogniser that gives words while the caller speaks has given some after so long."""
STILL_S: Final = 3.0
"""Words to which a sound has added none for so long are over, whatever the sound is: the noise of a room, say."""
MORE_CHARS: Final = 4
"""By how much words become longer when there are more of them; other words may be a little longer too."""
LONGEST_SPEECH_S: Final = 30.0
"""How long a caller may speak without a pause where the recogniser gives words only after it."""


class Patience:
    """Learns how soon words come while the caller speaks; a sound without words for much longer is no speech."""

    def __init__(self) -> None:
        self._onset_s = math.inf
        """When the present sound began."""
        self._length_s = 0.0
        """How long the latest sound was that is over."""
        self._words_after_s = 0.0
        """The longest time so far from the beginning of a sound to words in it; 0 if none has had words yet."""
        self._chars = 0
        """How long the words of the present sound were when they last became more."""
        self._more_s = -math.inf
        self._words_follow = False
        """True once words have come only after the end of their sound, and never sooner."""

    def sound_began(self, now_s: float) -> None:
        """Notes that the caller has begun to make a sound."""
        self._onset_s = now_s

    def words_came(self, now_s: float) -> None:
        """Notes that the first words have come while the sound goes on."""
        self._words_after_s = max(self._words_after_s, now_s - self._onset_s)
        self._words_follow = False

    def hears_more(self, now_s: float, text: str, *, first: bool) -> bool:
        """Tells whether the words so far of a sound have become more. In a noise a recogniser only changes its mind."""
        if not first and len(text) < self._chars + MORE_CHARS:
            return False
        self._chars, self._more_s = len(text), now_s
        return True

    def still_s(self) -> float:
        """Returns when the words of the present sound are over, if there are no more of them."""
        return self._more_s + STILL_S

    def sound_ended(self, now_s: float) -> None:
        """Notes that the caller's sound is over."""
        self._length_s = now_s - self._onset_s

    def words_followed(self) -> None:
        """Notes that all the words of a sound have come, and none before its end."""
        if self._length_s >= WORDS_SOON_S:  # in a shorter one there may have been no time for them
            self._words_follow = not self._words_after_s
        self._length_s = 0.0

    def limit_s(self, least_s: float) -> float:
        """Returns how long a sound without words may hold the agent, `least_s` or more."""
        if self._words_follow:
            return SPEECH_LIMIT_S
        if not self._words_after_s:
            return max(UNKNOWN_LIMIT_S, least_s)
        return min(max(2 * self._words_after_s, least_s), SPEECH_LIMIT_S)

    def longest_s(self) -> float:
        """Returns how long the caller of a silent agent may make a sound without words before it counts as silence."""
        return SPEECH_LIMIT_S if self._words_after_s else LONGEST_SPEECH_S
