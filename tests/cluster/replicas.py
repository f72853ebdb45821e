"""The replicas of the cluster: three processes of their own, or three that a real Ray starts and watches."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import psutil

from tests.support.counting_engine import PACE_VARIABLE, PIECE_SAMPLES, RATE_HZ
from tests.support.lasting_port import lasting_port
from tests.support.own_process import ROOT, OwnProcess
from tests.support.replica_process import ReplicaProcess

COUNT: Final = 3
SPEED: Final = 4.0
"""How much faster than it is spoken they make a sentence."""
PACE: Final = {PACE_VARIABLE: str(PIECE_SAMPLES / RATE_HZ / SPEED)}


class Replicas(Protocol):
    """Who speaks for the bridges."""

    def start(self) -> None:
        """Starts them, and waits until they speak."""

    def settings(self) -> Mapping[str, str]:
        """Returns the settings by which a bridge finds them."""

    def signal(self, address: str, number: signal.Signals) -> None:
        """Sends a signal to the one that is reached there."""

    async def mend(self) -> None:
        """Sees to it that all of them are there again, or are about to be."""

    def close(self) -> None:
        """Ends them."""


class OwnReplicas:
    """Each a `talkspurt engine`."""

    def __init__(self, folder: Path) -> None:
        module = "tests.cluster.worded_engine"
        self._each = [ReplicaProcess(folder, f"replica-{number}", module=module, **PACE) for number in range(COUNT)]

    def start(self) -> None:
        for replica in self._each:
            replica.begin()
        for replica in self._each:
            replica.ready()

    def settings(self) -> Mapping[str, str]:
        return {"ENGINE_URLS": ",".join(str(replica.address) for replica in self._each)}

    def signal(self, address: str, number: signal.Signals) -> None:
        (replica,) = [each for each in self._each if str(each.address) == address]
        replica.signal(number)

    async def mend(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(replica.mend) for replica in self._each))

    def close(self) -> None:
        for replica in self._each:
            replica.kill()


class RayReplicas:
    """As `talkspurt engine --ray` has them: Ray starts another in place of one that is lost or hangs."""

    def __init__(self, folder: Path) -> None:
        self._port = lasting_port()
        quick = ROOT / "tests" / "support" / "quick_ray"
        self._ray = _RayProcess(folder, "ray", self._port, **PACE)
        self._ray.environment = {
            "PYTHONPATH": f"{quick}{os.pathsep}{ROOT}",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }

    def start(self) -> None:
        self._ray.begin()
        self._ray.ready()

    def settings(self) -> Mapping[str, str]:
        return {"ENGINE_URLS_FROM": f"http://127.0.0.1:{self._port}/replicas"}

    def signal(self, address: str, number: signal.Signals) -> None:
        port = int(address.rpartition(":")[2])
        listening = (each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN)
        (pid,) = {each.pid for each in listening if each.laddr.port == port}
        assert pid is not None
        os.kill(pid, number)

    async def mend(self) -> None:
        """Ray does it."""

    def close(self) -> None:
        if self._ray.alive:
            self._ray.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._ray.ended()
        self._ray.kill()


class _RayProcess(OwnProcess):
    """The process that starts Ray, and ends it."""

    start_timeout_s = 300
    """Ray starts ten processes, each of which loads for seconds on a core of its own."""

    def __init__(self, folder: Path, name: str, port: int, **settings: str) -> None:
        super().__init__(folder, name, module="tests.cluster.ray_fleet", command=str(port), **settings)
        self.environment: dict[str, str] = {}

    def _places(self) -> dict[str, str]:
        return self.environment
