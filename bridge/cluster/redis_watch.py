"""Whether Redis answers, for /health and /metrics. It is asked once a second: without calls nothing else asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bridge.cluster.shared_calls import NotReached, SharedCalls
from engine.api import HEALTH

EVERY_S: Final = 1.0
"""How often it is asked."""


class RedisCollector(Collector):
    """Tells Prometheus whether Redis answers, once that is known."""

    def __init__(self, shared: SharedCalls) -> None:
        self._shared = shared

    def describe(self) -> list[Metric]:
        """Returns nothing: it is not known yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        if (reached := self._shared.reached) is not None:
            told = "1 where Redis (REDIS_URL) answers; where it does not, no calls are announced"
            yield GaugeMetricFamily("talkspurt_redis_up", told, float(reached))


def watch_redis(app: web.Application, shared: SharedCalls, registry: CollectorRegistry) -> None:
    """Has the application ask Redis again and again, and tell in /health and on the registry whether it answers."""

    async def watch(app: web.Application) -> AsyncIterator[None]:
        asking = asyncio.get_running_loop().create_task(_ask(shared))
        yield
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    registry.register(RedisCollector(shared))
    app[HEALTH].append(lambda: described(shared))
    app.cleanup_ctx.append(watch)


def described(shared: SharedCalls) -> Mapping[str, Any]:
    """Returns Redis' part of /health: whether it answers, and for how many seconds that has been so."""
    told: dict[str, Any] = {"redis": {"reached": shared.reached, "for_s": round(shared.lasting_s(), 1)}}
    if shared.reached is False:
        told["warnings"] = ["Redis does not answer (REDIS_URL): no calls are announced"]
    return told


async def _ask(shared: SharedCalls) -> None:
    while True:
        with suppress(NotReached):  # it is logged, and told of in /health
            await shared.ping()
        await asyncio.sleep(EVERY_S)
