"""Whether the caller makes a sound, by the starts, stops and transcripts that recognisers tell. No I/O."""

from __future__ import annotations

from bridge.turns.patience import Patience


class CallerSound:
    """The sound that may be speech. The time is handed in."""

    def __init__(self, patience: Patience) -> None:
        self.goes_on = False
        self._patience = patience
        self._unmatched_stops = 0
        """How many sounds have ended whose words have not come."""

    def began(self, now_s: float) -> bool:
        """Notes that a sound began; returns False if that was known."""
        if self.goes_on:
            return False
        self._patience.sound_began(now_s)
        self.goes_on = True
        return True

    def ended(self, now_s: float) -> bool:
        """Notes that the sound is over; returns False if that was known."""
        if not self.goes_on:
            return False
        self.goes_on = False
        self._unmatched_stops += 1
        self._patience.sound_ended(now_s)
        return True

    def shown_by_words(self) -> bool:
        """Notes that words so far have come; returns True if nothing else tells that there is a sound."""
        if self.goes_on or self._unmatched_stops:
            return False
        self.goes_on = True
        return True

    def words_complete(self) -> None:
        """Notes that all the words of the oldest sound have come: where its end was not told, it is over now."""
        if self._unmatched_stops:
            self._unmatched_stops -= 1
        else:
            self.goes_on = False

    def words_are_old(self) -> None:
        """Notes that all the words of an earlier sound have come, which says nothing of the present one."""
        self._unmatched_stops = max(self._unmatched_stops - 1, 0)

    def given_up(self) -> None:
        """Notes that what goes on, or has no end, is no speech."""
        self.goes_on = False
