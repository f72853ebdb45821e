"""The cluster: Redis, three replicas, three bridges and two HAProxies, each a process of its own on loopback."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.cluster.dialplan import Door
from tests.cluster.neighbours import neighbour_settings
from tests.cluster.words import APOLOGY, CUT_OFF, GREETING, TEXTS
from tests.support.asterisk.waiting import eventually
from tests.support.bridge_process import BridgeProcess
from tests.support.counting_engine import PACE_VARIABLE, PIECE_SAMPLES, RATE_HZ
from tests.support.haproxy_server import HaproxyServer
from tests.support.lasting_port import lasting_port
from tests.support.redis_server import RedisServer
from tests.support.replica_process import ReplicaProcess

BRIDGES: Final = ("a", "b", "c")
REPLICAS: Final = 3
PROXIES: Final = 2
SPEED: Final = 4.0
"""How much faster than it is spoken the replicas make a sentence."""
UP_S: Final = 60.0
ASK_S: Final = 2.0


class Cluster:
    """All parts. `start` once, `mend` before each trial, `close` at the end."""

    def __init__(self, folder: Path) -> None:
        self.redis = RedisServer(folder)
        piece_s = PIECE_SAMPLES / RATE_HZ / SPEED
        self.replicas = [
            ReplicaProcess(
                folder, f"replica-{number}", module="tests.cluster.worded_engine", **{PACE_VARIABLE: str(piece_s)}
            )
            for number in range(REPLICAS)
        ]
        self.bridges: list[BridgeProcess] = []
        self.proxies: list[HaproxyServer] = []
        self.neighbours_port = lasting_port()
        self._folder = folder

    def start(self) -> None:
        """Starts all of it, and waits until all of it listens."""
        self.redis.start()
        for replica in self.replicas:
            replica.begin()
        for replica in self.replicas:
            replica.ready()
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
            self.proxies.append(HaproxyServer(folder, ports))
            self.proxies[-1].start()

    def close(self) -> None:
        """Ends all of it."""
        for part in (*self.proxies, *self.bridges, *self.replicas, self.redis):
            part.kill()

    @property
    def chain(self) -> Sequence[Door]:
        """Returns the servers that the dialplan knows."""
        return [Door(f"http://127.0.0.1:{proxy.http_port}", proxy.audiosocket_port) for proxy in self.proxies]

    async def mend(self) -> None:
        """Starts again what has ended, lets go on what was stopped, and waits until every part knows of it."""
        if not self.redis.alive:
            self.redis.start()
        self.redis.go_on()
        programs = (*self.replicas, *self.bridges)
        for program in programs:
            if program.alive:
                program.signal(signal.SIGCONT)
            if program.is_ending:
                await asyncio.to_thread(program.ended)
        begun = [program for program in programs if not program.alive]
        for program in begun:
            program.begin()
        for program in begun:
            await asyncio.to_thread(program.ready)
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

    async def busiest_replica(self) -> ReplicaProcess:
        """Waits until one makes a sentence, and returns the one that makes most."""
        busiest: list[ReplicaProcess] = []

        async def speaks() -> bool:
            sentences = dict.fromkeys([str(replica.address) for replica in self.replicas], 0)
            async with aiohttp.ClientSession() as http:
                for health in await self._health(http):
                    for told in health["engine_status"]["replicas"]:
                        sentences[told["replica"]] += told.get("sentences", 0)
            most = max(sentences.values())
            busiest[:] = [each for each in self.replicas if sentences[str(each.address)] == most]
            return most > 0

        await eventually(speaks, UP_S)
        return busiest[0]

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
        replicas = [replica for health in told for replica in health["engine_status"]["replicas"]]
        servers = [state for proxy in self.proxies for state in proxy.states().values()]
        return (
            all(replica["up"] and not replica["draining"] for replica in replicas)
            and all(state == "UP" for state in servers)
            and not any(health["calls"] for health in told)
        )

    def _bridge_settings(self) -> dict[str, str]:
        return {
            "ENGINE": "remote",
            "ENGINE_URLS": ",".join(str(replica.address) for replica in self.replicas),
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
