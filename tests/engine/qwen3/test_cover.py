"""The batches into which a number of calls is split."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from engine.qwen3.cuda.cover import cheapest_covers

H200_ONE_FRAME = {1: 0.53, 4: 0.60, 16: 0.84, 64: 1.75}
"""Milliseconds of chunks of one frame."""


@pytest.mark.parametrize("calls", [*range(1, 70), 130])
def test_no_other_batches_are_quicker(calls: int) -> None:
    cover = cheapest_covers(calls, H200_ONE_FRAME)[calls]
    assert sum(cover) >= calls
    assert sum(cover[:-1]) < calls, "no batch is empty"
    taken = sum(H200_ONE_FRAME[size] for size in cover)
    for batches in range(1, 4):
        for other in combinations_with_replacement(H200_ONE_FRAME, batches):
            assert sum(other) < calls or taken <= sum(H200_ONE_FRAME[size] for size in other) + 1e-9


def test_twenty_calls_are_not_filled_up_to_sixty_four() -> None:
    covers = cheapest_covers(60, H200_ONE_FRAME)
    assert covers[0] == ()
    assert covers[20] == (16, 4)
    assert covers[60] == (64,)
