"""What callers notice when a part of the cluster is killed, stopped or drained while they are read to.

`python -m benchmarks.cluster` measures it, with more calls and all that is done to parts. Here counts what was heard,
in cases that no test of a part alone shows.
"""

from __future__ import annotations

from random import Random
from typing import Final

import pytest

from tests.cluster.faults import fault
from tests.cluster.rig import Cluster
from tests.cluster.trial import Plan, Seen, try_fault

CALLS: Final = 6
PLAN: Final = Plan(CALLS, pages_after=1, patience_s=30.0, hangs_after_s=20.0)
"""Patient enough for a busy machine, on which a server that answers late does not hang."""


async def tried(cluster: Cluster, name: str) -> Seen:
    return await try_fault(cluster, fault(name), PLAN, Random(name))


def assert_no_word_is_missing(seen: Seen) -> None:
    assert (seen.lost, seen.words_lost, seen.words_twice) == (0, 0, 0), seen
    assert seen.strange_frames <= CALLS, "the embedded voice spoke; a word that is interrupted ends in one such frame"


@pytest.mark.parametrize("name", ["replica killed", "Redis stopped"])
async def test_no_caller_notices_anything(cluster: Cluster, name: str) -> None:
    seen = await tried(cluster, name)
    assert_no_word_is_missing(seen)
    assert (seen.cut, seen.words_again) == (0, 0), seen


@pytest.mark.parametrize("name", ["bridge killed", "bridge stopped"])
async def test_the_calls_of_a_bridge_that_is_lost_go_on_at_others_and_theirs_notice_nothing(
    cluster: Cluster, name: str
) -> None:
    seen = await tried(cluster, name)
    assert_no_word_is_missing(seen)
    assert 0 < seen.cut < CALLS, "the others' calls are not cut off"
    assert len(seen.resumed_s) == seen.cut, seen


async def test_the_calls_of_a_proxy_that_is_lost_go_on_through_the_other_one(cluster: Cluster) -> None:
    seen = await tried(cluster, "HAProxy killed")
    assert_no_word_is_missing(seen)
    assert (seen.cut, len(seen.resumed_s)) == (CALLS, CALLS), seen
