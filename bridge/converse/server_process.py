"""Runs `talkspurt serve` as a child process on free ports, for the demo, the scenarios and the benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from bridge.config import FIELDS

START_TIMEOUT_S: Final = 120.0
"""An engine loads in a second or two on an idle machine; a busy machine may take longer."""
STOP_TIMEOUT_S: Final = 15.0
LINES_KEPT: Final = 50


class CannotServe(Exception):
    """The server did not start. The text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server and where it listens."""

    pid: int
    host: str
    port: int
    http_url: str


@asynccontextmanager
async def running_server(*, module: str = "bridge", **settings: str) -> AsyncIterator[ServerProcess]:
    """Starts a server with just these settings, and ends it with SIGTERM. Raises CannotServe.

    `module` is run with `serve`: this package, or one that changes something of it.

    Neither settings in this process's environment nor a `.env` file reach the server.
    """
    environment = bare_environment()
    environment |= {"AUDIOSOCKET_PORT": "0", "HTTP_PORT": "0", "LOG_FORMAT": "json", "DRAIN_TIMEOUT": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # `module` may be found by this process alone
    with tempfile.TemporaryDirectory() as empty:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "serve"),
            env=environment | settings,
            cwd=empty,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        lines: deque[str] = deque(maxlen=LINES_KEPT)
        reading: asyncio.Task[None] | None = None
        try:
            ready = await _ready(process.stderr, lines)
            reading = asyncio.create_task(_drain(process.stderr, lines))
            host, _, port = ready["audiosocket"].rpartition(":")
            yield ServerProcess(process.pid, host, int(port), ready["http"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
            if reading is not None:
                await reading


def bare_environment() -> dict[str, str]:
    """Returns this process's environment without settings of the server."""
    return {name: value for name, value in os.environ.items() if name.lower() not in FIELDS}


async def _ready(stderr: asyncio.StreamReader, lines: deque[str]) -> dict[str, Any]:
    """Waits for the log line that says where the server listens, and returns it. Raises CannotServe."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            async for line in stderr:
                lines.append(line.decode(errors="replace").rstrip())
                with contextlib.suppress(ValueError):
                    entry: dict[str, Any] = json.loads(line)
                    if entry.get("event") == "ready":
                        return entry
    except TimeoutError:
        lines.append(f"not ready after {START_TIMEOUT_S:.0f} s")
    raise CannotServe("the server did not start:\n" + "\n".join(lines))


async def _drain(stderr: asyncio.StreamReader, lines: deque[str]) -> None:
    async for line in stderr:
        lines.append(line.decode(errors="replace").rstrip())
