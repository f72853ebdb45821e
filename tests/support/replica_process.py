"""`talkspurt engine` as a process of its own, with an engine whose words can be counted, or with a real one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from bridge.converse.server_process import bare_environment
from engine.replicas.address import Address

START_TIMEOUT_S = 60
COUNTING = "tests.support.counting_engine"
ROOT = Path(__file__).parents[2]


class ReplicaProcess:
    """One replica, which may be killed, stopped and started again at the same port."""

    def __init__(self, folder: Path, name: str, *, module: str = COUNTING, **settings: str) -> None:
        self._log = folder / f"{name}.log"
        self._module = module
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def begin(self) -> None:
        """Starts it; `ready` waits for it."""
        environment = bare_environment() | {"PYTHONPATH": str(ROOT), "LOG_FORMAT": "json", "DRAIN_TIMEOUT": "5"}
        environment |= self._settings | {"ENGINE_PORT": str(self.port)}
        command = [sys.executable, "-m", self._module, "engine"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, cwd=self._log.parent, stderr=log)

    def ready(self) -> None:
        """Waits until it listens."""
        until_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until_s and self.alive:
            for line in self._log.read_text().splitlines():
                if line.startswith("{") and (told := json.loads(line)).get("event") == "ready":
                    self.port = int(told["link"].rpartition(":")[2])
                    return
            time.sleep(0.02)
        raise AssertionError(f"the replica did not start: {self._log.read_text()}")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port, tls=False)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kills it, and waits until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ended(self) -> int:
        """Waits for its end. Returns its status."""
        assert self._process is not None
        return self._process.wait(START_TIMEOUT_S)
