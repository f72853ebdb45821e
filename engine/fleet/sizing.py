"""How many replicas are wanted for the sentences that are being made; no I/O.

Ray Serve counts its own requests, and bridges make none: they ask replicas at their own ports. So each replica tells
Ray how many sentences it makes, and this says what follows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    @property
    def running_replicas(self) -> Collection[Any]: ...


def wanted(sentences: float, places: float, per_replica: int) -> int | None:
    """Returns the replicas for so many sentences at once, None where it is not known what one of them can make.

    `places` are those of one replica, 0 where it tells none; `per_replica` is what was set, 0 for nothing.
    """
    share = per_replica or LOADED * places
    return ceil(round(sentences / share, 6)) if share else None


def at_first(now: int, least: int, most: int, fits: int) -> int:
    """Returns how many replicas a new version begins with, where `now` are there and `fits` have a place."""
    return max(1, min(max(now, least), most, fits))


class CallsSpeaking:
    """Ray Serve's autoscaling policy: as many replicas as the sentences of all of them take.

    Ray replaces no replica while one that it has started anew finds no place. Where all places are taken and one more
    is wanted, that would be for ever. So no more are wanted than have a place until the new ones speak. Later those
    that have none wait for it, by which Ray knows that a machine is to be added.
    """

    def __init__(self, per_replica: int = 0, least: int = 1, fits: int = 1) -> None:
        self._per_replica, self._least, self._fits = per_replica, least, fits
        self._old: set[Any] | None = None
        """The replicas that ran at first and still do; None: not asked yet."""
        self._all_speak = False

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        number = max(self._for_sentences(context), self._least)
        return number if self._has_replaced_all(context) else min(number, self._fits), {}

    def _for_sentences(self, context: Context) -> int:
        told = context.aggregated_metrics or {}
        sentences, places = told.get(SENTENCES, {}), told.get(PLACES, {})
        if not sentences:  # nobody has told anything yet
            return context.target_num_replicas
        number = wanted(sum(sentences.values()), max(places.values(), default=0.0), self._per_replica)
        return context.target_num_replicas if number is None else number

    def _has_replaced_all(self, context: Context) -> bool:
        running = set(context.running_replicas)
        self._old = running if self._old is None else self._old & running
        self._all_speak |= not self._old and len(running) >= min(self._least, self._fits)
        return self._all_speak
