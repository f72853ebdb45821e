"""Which replica a call is spoken by: the better of two that are drawn at random; no I/O.

Were all bridges to take the best, all would take the same one between two of its reports, and it would be overrun. The
better of two spreads them nearly as well as if each knew everything ("power of two choices").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Generic, TypeVar

SHORT_SLACK_S: Final = 0.1
"""Where a listener has less than this ahead, the replica is behind with what it has, however many places it counts."""
LEVEL_S: Final = 0.05
"""Slack is compared in steps of this: what differs by less is chance."""
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[_Key]):
    """A replica that takes calls, as it looks from here."""

    key: _Key
    sentences: int
    """Those that it makes, and those that it was asked for since it told so."""
    places: int | None
    """Those that it keeps up with, where it tells."""
    slack_s: float | None
    """The least that any of its listeners has ahead; None while nobody listens."""

    @property
    def full(self) -> bool:
        """Whether one more sentence would wait for its place."""
        return self.places is not None and self.sentences >= self.places

    def rank(self) -> tuple[bool, bool, float, float]:
        """Returns a sort key, the best first: one that keeps up, that has a place free, that has most of them."""
        slack_s = 1.0 if self.slack_s is None else self.slack_s
        free = (self.places or 0) - self.sentences
        return slack_s < SHORT_SLACK_S, self.full, -free, -(slack_s // LEVEL_S)


def better_of_two(candidates: Sequence[Candidate[_Key]], chance: Random) -> Candidate[_Key] | None:
    """Returns the better of two of them, None where there are none."""
    drawn = chance.sample(candidates, min(2, len(candidates)))
    return min(drawn, key=Candidate.rank, default=None)
