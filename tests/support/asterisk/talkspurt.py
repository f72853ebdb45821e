"""`talkspurt serve` as a process of its own, and a client of its calls API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 240.0
"""A server with workers imports everything in each of five processes, which takes minutes on a machine that is busy."""
STOP_TIMEOUT_S = 30.0

LogLine = dict[str, Any]


class Talkspurt:
    """A running server. Its ports are the system's choice; its log lines are kept, and can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[LogLine] = []
        self._over = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read_log, daemon=True).start()
        ready = self._wait_for("ready", {}, START_TIMEOUT_S)
        self.audiosocket_port = int(ready["audiosocket"].rpartition(":")[2])
        self.url: str = ready["http"]

    def extension(self, kind: str, call: str) -> str:
        """What to dial in the tests' dialplan to reach this server by the way `kind`."""
        return f"{kind}-{self.audiosocket_port}-{call}"

    @property
    def http_port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """Ends it with SIGKILL, as the kernel does when memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def logged(self, event: str, timeout_s: float, **fields: Any) -> LogLine:
        """Waits for a log line (one that came already will do). Raises TimeoutError."""
        return await asyncio.to_thread(self._wait_for, event, fields, timeout_s)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.rstrip()}
            with self._changed:
                self.log.append(entry)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _wait_for(self, event: str, fields: dict[str, Any], timeout_s: float) -> LogLine:
        wanted = {"event": event, **fields}

        def find() -> LogLine | None:
            return next((line for line in self.log if wanted.items() <= line.items()), None)

        with self._changed:
            self._changed.wait_for(lambda: find() or self._over, timeout_s)
            if line := find():
                return line
            tail = "\n".join(str(line) for line in self.log[-20:])
            raise TimeoutError(f"the server did not log {wanted}; its last lines:\n{tail}")


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Talkspurt]:
    """A server with these settings, and no others, from the moment it is ready."""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment |= {"PYTHONPATH": str(ROOT)}  # these sources, wherever the environment's package was installed from
    environment |= {"AUDIOSOCKET_PORT": "0", "HTTP_PORT": "0", "LOG_FORMAT": "json", "DRAIN_TIMEOUT": "2", **settings}
    command = [sys.executable, "-m", "bridge", "serve"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Talkspurt(process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


class CallsApi:
    """The server's HTTP interface, as a developer uses it."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def active(self) -> list[str]:
        """The ids of the calls in progress."""
        return [call["id"] for call in (await self._json("GET", "/v1/calls"))["data"]]

    async def call(self, call: str) -> dict[str, Any]:
        return await self._json("GET", f"/v1/calls/{call}")

    async def say(self, call: str, text: str) -> None:
        await self._json("POST", f"/v1/calls/{call}/say", {"text": text})

    async def until_speaking(self, call: str, timeout_s: float) -> None:
        """Waits until the agent says something."""

        async def speaking() -> bool:
            return bool((await self.call(call))["speaking"])

        await eventually(speaking, timeout_s)

    async def until_silent(self, call: str, timeout_s: float) -> None:
        """Waits until all that was to be said has been sent."""

        async def silent() -> bool:
            return not (await self.call(call))["speaking"]

        await eventually(silent, timeout_s)

    async def interrupt(self, call: str) -> dict[str, Any]:
        return await self._json("POST", f"/v1/calls/{call}/interrupt")

    async def hang_up(self, call: str, **how: str) -> None:
        await self._json("POST", f"/v1/calls/{call}/hangup", how or None)

    async def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with self._http.request(method, path, json=body) as response:
            answer: dict[str, Any] = await response.json()
            assert response.ok, answer
            return answer
