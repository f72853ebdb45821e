"""What replicas wait for that Ray has no machine for; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final = {"GPU": ("GPU", "GPUs"), "CPU": ("core", "cores")}
"""What Ray's resources are called, one of them and several."""


def fitting(needs: Mapping[str, float], there: Mapping[str, float]) -> int:
    """Returns how many replicas a cluster has places for.

    `needs` is what one replica takes, `there` what the cluster has in all, by Ray's names. What is free tells nothing:
    replicas that are about to be replaced have taken it.
    """
    return min(int(there.get(name, 0.0) / amount) for name, amount in needs.items() if amount)


def shortage(wanted: int, needs: Mapping[str, float], there: Mapping[str, float]) -> str:
    """Returns in a line what keeps replicas from being started; empty where the cluster is large enough for all."""
    short = [name for name, amount in needs.items() if wanted * amount > there.get(name, 0.0)]
    if not short:
        return ""
    told = " and ".join(
        f"{needs[name]:g} {NAMES[name][needs[name] > 1]} (the cluster has {there.get(name, 0.0):g})" for name in short
    )
    return (
        f"{fitting(needs, there)} of {wanted} replicas have a place. Each takes {told}, so others wait until there are "
        "more; ENGINE_MIN_REPLICAS may be set to fewer"
    )
