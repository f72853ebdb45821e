"""Whether Redis answers, for /health and /metrics, and that this bridge runs, for the others: told once a second."""

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
"""How often that is told, by which it is seen whether Redis answers: without calls nothing else asks it."""
REDIS_UP: Final = "talkspurt_redis_up"


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
            yield GaugeMetricFamily(REDIS_UP, told, float(reached))


def watch_redis(app: web.Application, shared: SharedCalls, registry: CollectorRegistry) -> None:
    """Has the application tell Redis that it runs, and in /health and on the registry whether Redis answers."""

    async def watch(app: web.Application) -> AsyncIterator[None]:
        beating = asyncio.get_running_loop().create_task(_beat(shared))
        yield
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)

    registry.register(RedisCollector(shared))
    app[HEALTH].append(lambda: described(shared))
    app.cleanup_ctx.append(watch)


def described(shared: SharedCalls) -> Mapping[str, Any]:
    """Returns Redis' part of /health: whether it answers, and for how many seconds that has been so."""
    told: dict[str, Any] = {"redis": {"reached": shared.reached, "for_s": round(shared.lasting_s(), 1)}}
    if shared.reached is False:
        told["warnings"] = ["Redis does not answer (REDIS_URL): no calls are announced"]
    return told


async def _beat(shared: SharedCalls) -> None:
    while True:
        with suppress(NotReached):  # it is logged, and told of in /health
            await shared.beat()
        await asyncio.sleep(EVERY_S)
