"""Splits a number of calls into batches that there are graphs for, so that all together take the least time."""

from __future__ import annotations

from collections.abc import Mapping


def cheapest_covers(most: int, seconds: Mapping[int, float]) -> list[tuple[int, ...]]:
    """Returns the batches' sizes for each number of calls from 0 to `most`, the largest first.

    The last batch may be larger than what is left for it. `seconds` tells what a batch of each size takes, however
    many of its places are filled. All numbers are worked out together, ahead: it takes too long for a step.
    """
    taken = [0.0]
    covers: list[tuple[int, ...]] = [()]
    for calls in range(1, most + 1):
        best_s, negative = min((own_s + taken[max(0, calls - size)], -size) for size, own_s in seconds.items())
        taken.append(best_s)
        covers.append(tuple(sorted((-negative, *covers[max(0, calls + negative)]), reverse=True)))
    return covers
