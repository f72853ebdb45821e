"""Knows how long the caller has been waiting for an answer, however often it was begun anew. No I/O, injected clock."""

from __future__ import annotations

import math
from collections.abc import Callable

from bridge.conversation.reply import Filler


class Waiting:
    """The caller's wait, from the first words that have no answer to the answer's first sound."""

    def __init__(self, filler: Filler, now_s: Callable[[], float]) -> None:
        self.base = filler
        """The filler of a caller who has not waited yet."""
        self._now_s = now_s
        self._since_s = math.inf
        self._filler_said = False

    def asked(self) -> None:
        """Notes that the caller has said something that is to be answered."""
        self._since_s = min(self._since_s, self._now_s())

    def filled(self) -> None:
        """Notes that the filler is being heard; a second one would be worse than silence."""
        self._filler_said = True

    def over(self) -> None:
        """Notes that the answer is being heard, or that there is none."""
        self._since_s = math.inf
        self._filler_said = False

    def filler(self) -> Filler:
        """Returns the filler of a reply that begins now: what is left of it for a caller who waits already."""
        if self._filler_said or not self.base.after_ms:
            return Filler()
        waited_ms = round((self._now_s() - min(self._since_s, self._now_s())) * 1000)
        return Filler(self.base.text, max(self.base.after_ms - waited_ms, 1))
