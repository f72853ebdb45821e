"""A program as a process of its own, which may be killed, stopped and started again at the same ports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from bridge.converse.server_process import bare_environment

START_TIMEOUT_S: Final = 90
ROOT: Final = Path(__file__).parents[2]


class OwnProcess(ABC):
    """One process of ours, which tells in its log when it is ready."""

    start_timeout_s = START_TIMEOUT_S
    """How long it may take to."""

    def __init__(self, folder: Path, name: str, *, module: str, command: str, **settings: str) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", module, command]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.is_ending = False
        """It was told to end, and may take its time."""

    @abstractmethod
    def _places(self) -> dict[str, str]:
        """Returns the settings that say where it listens."""

    def begin(self) -> None:
        """Starts it; `ready` waits for it."""
        environment = bare_environment() | {"PYTHONPATH": str(ROOT), "LOG_FORMAT": "json", "DRAIN_TIMEOUT": "5"}
        environment |= self._settings | self._places()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=environment, cwd=self._log.parent, stderr=log)
        self.is_ending = False

    def ready(self) -> None:
        """Waits until it listens."""
        until_s = time.monotonic() + self.start_timeout_s
        while time.monotonic() < until_s and self.alive:
            for line in self._log.read_text().splitlines():
                if line.startswith("{") and json.loads(line).get("event") == "ready":
                    return
            time.sleep(0.02)
        raise AssertionError(f"{self.name} did not start: {self.log}")

    @property
    def log(self) -> str:
        """What it has logged since it was started last."""
        return self._log.read_text()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self.is_ending = self.is_ending or number is signal.SIGTERM
        self._process.send_signal(number)

    def mend(self) -> None:
        """Lets it go on if it was stopped, or starts it again if it has ended, and waits until it listens."""
        if self.alive:
            self.signal(signal.SIGCONT)
        if self.is_ending:
            self.ended()
        if not self.alive:
            self.begin()
            self.ready()

    def kill(self) -> None:
        """Kills it, and waits until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ended(self) -> int:
        """Waits for its end. Returns its status."""
        assert self._process is not None
        return self._process.wait(self.start_timeout_s)
