"""The cluster: Redis, three replicas, three bridges and two HAProxies, each a process of its own on loopback."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.cluster.dialplan import Door
from tests.cluster.neighbours import neighbour_settings
from tests.cluster.replicas import COUNT, OwnReplicas, RayReplicas, Replicas
from tests.cluster.words import APOLOGY, CUT_OFF, GREETING, TEXTS
from tests.support.bridge_process import BridgeProcess
from tests.support.haproxy_server import HaproxyServer
from tests.support.lasting_port import lasting_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

BRIDGES: Final = ("a", "b", "c")
PROXIES: Final = 2
UP_S: Final = 120.0
"""Ray takes most of it to find that a replica hangs, and to start another."""
ASK_S: Final = 2.0


class Cluster:
    """All parts. `start` once, `mend` before each trial, `close` at the end."""

    def __init__(self, folder: Path, *, with_ray: bool = False, check_timeout_s: int | None = None) -> None:
        """`with_ray` has a real Ray start the replicas, and start others in their place.

        `check_timeout_s` is how long HAProxy waits for a bridge's answer, where not as shipped.
        """
        self.redis = RedisServer(folder)
        self.replicas: Replicas = RayReplicas(folder) if with_ray else OwnReplicas(folder)
        self.bridges: list[BridgeProcess] = []
        self.proxies: list[HaproxyServer] = []
        self.neighbours_port = lasting_port()
        self._folder, self._check_timeout_s = folder, check_timeout_s

    def start(self) -> None:
        """Starts all of it, and waits until all of it listens."""
        self.redis.start()
        self.replicas.start()
        settings = self._bridge_settings()
        self.bridges = [BridgeProcess(self._folder, f"bridge-{name}", **settings) for name in BRIDGES]
        for bridge in self.bridges:
            bridge.begin()
        for bridge in self.bridges:
            bridge.ready()
        ports = {
            name: (bridge.http_port, bridge.audiosocket_port)
            for name, bridge in zip(BRIDGES, self.bridges, strict=True)
        }
        for number in range(PROXIES):
            folder = self._folder / f"haproxy-{number}"
            folder.mkdir()
            self.proxies.append(HaproxyServer(folder, ports, check_timeout_s=self._check_timeout_s))
            self.proxies[-1].start()

    def close(self) -> None:
        """Ends all of it."""
        for part in (*self.proxies, *self.bridges, self.redis):
            part.kill()
        self.replicas.close()

    @property
    def chain(self) -> Sequence[Door]:
        """Returns the servers that the dialplan knows."""
        return [Door(f"http://127.0.0.1:{proxy.http_port}", proxy.audiosocket_port) for proxy in self.proxies]

    async def mend(self) -> None:
        """Starts again what has ended, lets go on what was stopped, and waits until every part knows of it."""
        if not self.redis.alive:
            self.redis.start()
        self.redis.go_on()
        await asyncio.gather(self.replicas.mend(), *(asyncio.to_thread(bridge.mend) for bridge in self.bridges))
        for proxy in self.proxies:
            if proxy.alive:
                proxy.signal(signal.SIGCONT)
            if not proxy.listens:
                proxy.kill()
                proxy.start()
            for name in BRIDGES:
                proxy.take_back(name)
        async with aiohttp.ClientSession() as http:
            await eventually(lambda: self._is_whole(http), UP_S)

    async def busiest_replica(self) -> str:
        """Waits until one makes a sentence, and returns the address of the one that makes most."""
        sentences = Counter[str]()

        async def speaks() -> bool:
            sentences.clear()
            async with aiohttp.ClientSession() as http:
                for health in await self._health(http):
                    for told in health["engine_status"]["replicas"]:
                        sentences[told["replica"]] += told.get("sentences", 0)
            return max(sentences.values()) > 0

        await eventually(speaks, UP_S)
        return sentences.most_common(1)[0][0]

    async def busiest_bridge(self) -> tuple[str, BridgeProcess]:
        """Returns the bridge that has most calls, and its name at HAProxy."""
        async with aiohttp.ClientSession() as http:
            calls = [health["calls"] for health in await self._health(http)]
        place = calls.index(max(calls))
        return BRIDGES[place], self.bridges[place]

    async def sentences_moved(self) -> dict[str, int]:
        """Returns how many sentences another replica went on with, by bridge; without bridges that do not answer."""
        moved: dict[str, int] = {}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S)) as http:
            for bridge in self.bridges:
                with suppress(aiohttp.ClientError, TimeoutError):
                    moved[bridge.name] = (await _health_of(http, bridge))["engine_status"]["sentences_moved"]
        return moved

    async def _health(self, http: aiohttp.ClientSession) -> list[dict[str, Any]]:
        return await asyncio.gather(*(_health_of(http, bridge) for bridge in self.bridges))

    async def _is_whole(self, http: aiohttp.ClientSession) -> bool:
        told = await self._health(http)
        replicas = [
            sum(each["up"] and not each["draining"] for each in health["engine_status"]["replicas"]) for health in told
        ]
        servers = [state for proxy in self.proxies for state in proxy.states().values()]
        return (
            all(up == COUNT for up in replicas)
            and all(state == "UP" for state in servers)
            and not any(health["calls"] for health in told)
        )

    def _bridge_settings(self) -> dict[str, str]:
        return {
            "ENGINE": "remote",
            **self.replicas.settings(),
            "REDIS_URL": self.redis.url,
            "REQUIRE_REGISTRATION": "true",
            "VOICE_LANGUAGE": "en",
            "GREETING": TEXTS[GREETING],
            "CUT_OFF": TEXTS[CUT_OFF],
            "APOLOGY": TEXTS[APOLOGY],
            "FILLER": "",
            "NO_INPUT_TIMEOUT_MS": "0",
            "UNCLEAR_TIMEOUT_MS": "0",
            **neighbour_settings(self.neighbours_port),
        }


async def _health_of(http: aiohttp.ClientSession, bridge: BridgeProcess) -> dict[str, Any]:
    async with http.get(f"{bridge.http_url}/health") as response:
        told: dict[str, Any] = await response.json()
        return told
