"""A call has a longest time, and the caller is told before it is over."""

from __future__ import annotations

import math

import pytest

from bridge.conversation.time_limit import Limit, TimeLimit


@pytest.mark.parametrize(("max_s", "warn_s"), [(600.0, 570.0), (40.0, 20.0)])
def test_it_warns_once_and_ends_once(max_s: float, warn_s: float) -> None:
    limit = TimeLimit(max_s, 100.0)
    assert limit.deadline_s() == 100.0 + warn_s
    assert limit.due(100.0 + warn_s - 1) is None
    assert limit.due(100.0 + warn_s) is Limit.WARN
    assert limit.due(100.0 + warn_s) is None
    assert limit.deadline_s() == 100.0 + max_s
    assert limit.due(100.0 + max_s) is Limit.END
    assert limit.deadline_s() == math.inf


def test_no_limit() -> None:
    limit = TimeLimit(0, 100.0)
    assert limit.deadline_s() == math.inf
    assert limit.due(10**9) is None
