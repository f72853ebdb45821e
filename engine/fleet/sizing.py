"""How many replicas are wanted for the sentences that are being made; no I/O.

Ray Serve counts its own requests, and bridges make none: they ask replicas at their own ports. So each replica tells
Ray how many sentences it makes, and this says what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final, Protocol

SENTENCES: Final = "sentences"
PLACES: Final = "places"
LOADED: Final = 0.7
"""The share of its places that a replica is to have taken: the rest is for the calls of one that fails."""


class Context(Protocol):
    """What Ray Serve tells a policy, as far as this one asks."""

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None: ...
    @property
    def target_num_replicas(self) -> int: ...


def wanted(sentences: float, places: float, per_replica: int) -> int | None:
    """Returns the replicas for so many sentences at once, None where it is not known what one of them can make.

    `places` are those of one replica, 0 where it tells none; `per_replica` is what was set, 0 for nothing.
    """
    share = per_replica or LOADED * places
    return ceil(round(sentences / share, 6)) if share else None


class CallsSpeaking:
    """Ray Serve's autoscaling policy: as many replicas as the sentences of all of them take."""

    def __init__(self, per_replica: int = 0) -> None:
        self._per_replica = per_replica

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        told = context.aggregated_metrics or {}
        sentences, places = told.get(SENTENCES, {}), told.get(PLACES, {})
        if not sentences:  # nobody has told anything yet
            return context.target_num_replicas, {}
        number = wanted(sum(sentences.values()), max(places.values(), default=0.0), self._per_replica)
        return context.target_num_replicas if number is None else number, {}
