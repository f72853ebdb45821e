"""What replicas wait for that Ray has no machine for; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final = {"GPU": ("GPU", "GPUs"), "CPU": ("core", "cores")}
"""What Ray's resources are called, one of them and several."""


def shortage(speaking: int, wanted: int, needs: Mapping[str, float], free: Mapping[str, float]) -> str:
    """Returns in a line what keeps replicas from being started; empty where nothing does.

    `needs` is what one replica takes, `free` what nothing in the cluster has taken, both by Ray's names.
    """
    short = [name for name, amount in needs.items() if amount and free.get(name, 0.0) < amount]
    if speaking >= wanted or not short:
        return ""
    each = " and ".join(f"{needs[name]:g} {NAMES[name][needs[name] > 1]}" for name in short)
    left = " and ".join(f"{free.get(name, 0.0):g} {NAMES[name][1]}" for name in short)
    return (
        f"{speaking} of {wanted} replicas speak; each of the others waits for {each}, and the cluster has {left} free. "
        "It starts once there are more, or set ENGINE_MIN_REPLICAS to fewer"
    )
