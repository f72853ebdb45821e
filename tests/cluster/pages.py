"""What became of a page that a caller asked for. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.text import SENTENCE_PAUSE_MS
from tests.cluster.ear import TWICE, WHOLE, Ear
from tests.cluster.words import page_codes

PAUSE_S: Final = SENTENCE_PAUSE_MS / 1000


@dataclass(slots=True)
class Asked:
    """A page, from the first time that it was asked for."""

    page: int
    place: int
    """Where in the ear's words its answer may begin."""
    times: int = 0
    """How often it was asked for."""
    asked_s: float = 0.0
    """When the caller had said so, the latest time."""
    was_cut: bool = False
    """The call was cut off while it was read or soon after, so that the agent may have read it again."""

    @property
    def codes(self) -> range:
        """Its words."""
        return page_codes(self.page)

    def is_whole(self, ear: Ear) -> bool:
        """Tells whether all of it was heard."""
        return ear.whole(self.codes, self.place)

    def lost(self, ear: Ear) -> int:
        """Returns how many of its words were never heard whole."""
        return sum(ear.times(code, self.place) < WHOLE for code in self.codes)

    def twice(self, ear: Ear) -> int:
        """Returns how many of its words were heard more than once."""
        return sum(ear.times(code, self.place) > TWICE for code in self.codes)

    def longest_silence_s(self, ear: Ear) -> float:
        """Returns the longest silence in the middle of it, the pause between two sentences left out."""
        return max(ear.silences(self.codes, PAUSE_S, self.place), default=0.0)

    def first_word_s(self, ear: Ear) -> float | None:
        """Returns when it began, None where it never did."""
        return next((word.start_s for word in ear.words[self.place :] if word.code in self.codes), None)

    def ends_after(self, ear: Ear, at_s: float) -> bool:
        """Tells whether any of it was heard after a moment."""
        return any(word.end_s > at_s for word in ear.words[self.place :] if word.code in self.codes)
