"""What is done to each kind of part, and how long it lasts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tests.cluster.rig import Cluster

Act = Callable[[Cluster], Awaitable[None]]
LASTS_S: Final = 3.0
"""How long a fault lasts that has an end."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is done to a part."""

    part: str
    how: str
    begin: Act
    end: Act | None = None
    """Undoes it after `LASTS_S`; None: it lasts for as long as the calls."""
    cuts_off: bool = False
    """Whether calls are expected to be cut off by it."""

    @property
    def name(self) -> str:
        return f"{self.part} {self.how}".strip()


async def _nothing(cluster: Cluster) -> None:
    pass


def _replica(number: signal.Signals) -> Act:
    async def act(cluster: Cluster) -> None:
        cluster.replicas.signal(await cluster.busiest_replica(), number)

    return act


def _bridge(number: signal.Signals) -> Act:
    async def act(cluster: Cluster) -> None:
        (await cluster.busiest_bridge())[1].signal(number)

    return act


def _proxy(number: signal.Signals) -> Act:
    async def act(cluster: Cluster) -> None:
        cluster.proxies[0].signal(number)

    return act


async def _drain_bridge(cluster: Cluster) -> None:
    name, _ = await cluster.busiest_bridge()
    for proxy in cluster.proxies:
        proxy.drain(name)


async def _kill_redis(cluster: Cluster) -> None:
    cluster.redis.kill()


async def _hang_redis(cluster: Cluster) -> None:
    cluster.redis.hang()


async def _end_redis(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.redis.end)


async def _redis_is_back(cluster: Cluster) -> None:
    if cluster.redis.alive:
        cluster.redis.go_on()
    else:
        await asyncio.to_thread(cluster.redis.start)


FAULTS: Final = (
    Fault("nothing", "", _nothing),
    Fault("replica", "killed", _replica(signal.SIGKILL)),
    Fault("replica", "stopped", _replica(signal.SIGSTOP)),
    Fault("replica", "drained", _replica(signal.SIGTERM)),
    Fault("bridge", "killed", _bridge(signal.SIGKILL), cuts_off=True),
    Fault("bridge", "stopped", _bridge(signal.SIGSTOP), cuts_off=True),
    Fault("bridge", "drained", _drain_bridge),
    Fault("Redis", "killed", _kill_redis, _redis_is_back),
    Fault("Redis", "stopped", _hang_redis, _redis_is_back),
    Fault("Redis", "ended", _end_redis, _redis_is_back),
    Fault("HAProxy", "killed", _proxy(signal.SIGKILL), cuts_off=True),
    Fault("HAProxy", "stopped", _proxy(signal.SIGSTOP), cuts_off=True),
    Fault("HAProxy", "drained", _proxy(signal.SIGUSR1)),
)
"""In the order of the benchmark's table."""


def fault(name: str) -> Fault:
    """Returns the fault of this name, such as `bridge killed`."""
    return next(each for each in FAULTS if each.name == name)
