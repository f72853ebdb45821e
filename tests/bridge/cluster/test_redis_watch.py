"""For how long Redis has answered, or not."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bridge.cluster.redis_watch import RedisCollector, described
from bridge.cluster.shared_calls import NotReached, SharedCalls


class Redis:
    """Answers, or refuses the connection."""

    answers = True

    async def set(self, *_: object, **__: object) -> None:
        if not self.answers:
            raise ConnectionRefusedError


async def test_health_counts_from_the_change_and_not_from_the_latest_command() -> None:
    redis, now_s = Redis(), [100.0]
    shared = SharedCalls(cast(Any, redis), "http://here", now_s=lambda: now_s[0])
    assert described(shared) == {"redis": {"reached": None, "for_s": 0.0}}
    await shared.beat()
    now_s[0] += 7
    await shared.beat()
    assert described(shared) == {"redis": {"reached": True, "for_s": 7.0}}
    redis.answers = False
    for _ in range(3):
        with pytest.raises(NotReached):
            await shared.beat()
        now_s[0] += 2
    told = described(shared)
    assert told["redis"] == {"reached": False, "for_s": 6.0}
    assert told["warnings"] == ["Redis does not answer (REDIS_URL): no calls are announced"]


async def test_the_metric_is_there_once_it_is_known() -> None:
    redis, registry = Redis(), CollectorRegistry()
    shared = SharedCalls(cast(Any, redis), "http://here")
    registry.register(RedisCollector(shared))
    assert generate_latest(registry) == b""
    await shared.beat()
    assert b"talkspurt_redis_up 1.0" in generate_latest(registry)
    redis.answers = False
    with pytest.raises(NotReached):
        await shared.beat()
    assert b"talkspurt_redis_up 0.0" in generate_latest(registry)
