"""Decides when an answer is begun before it is certain that the caller is done. No I/O.

The answer is made and held. It is heard only if the final words are those it was begun for; else it is dropped without
a trace.
"""

from __future__ import annotations

from typing import Final

from bridge.turns.actions import Action, Discard, Prepare
from bridge.turns.words import words

MOST_TRIES: Final = 3
"""How many answers are begun early to one stretch of speech: a caller who thinks aloud would cost one at each pause."""


class EarlyAnswer:
    """The answer that is being made for words that may not be the last."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._said: list[str] | None = None
        """The words that the held answer answers; None if there is none."""
        self._tries = 0

    def maybe_over(self, said: str) -> list[Action]:
        """Takes all that the caller has said, now that there may be no more of it."""
        if not self._enabled or not said or self._said == words(said):
            return []
        dropped = self.drop()
        if self._tries >= MOST_TRIES:
            return dropped
        self._tries += 1
        self._said = words(said)
        return [*dropped, Prepare(said)]

    def goes_on(self, said: str) -> list[Action]:
        """Takes all that the caller has said so far, while there is more to come."""
        return [] if self._said is None or self._said == words(said) else self.drop()

    def take(self, said: str) -> tuple[list[Action], bool]:
        """Returns what is to be done before these words are answered, and whether the held answer is theirs."""
        self._tries = 0
        if self._said is not None and self._said == words(said):
            self._said = None
            return [], True
        return self.drop(), False

    def drop(self) -> list[Action]:
        """Drops the held answer, if there is one."""
        if self._said is None:
            return []
        self._said = None
        return [Discard()]
