"""The server that was there before this one, as this one sees it: it gives its ports away, and then is a worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self, cast
from uuid import UUID

from pydantic import SecretStr

from bridge.config import Settings
from bridge.workers.control import PACKET_BYTES, Message, peer_pid
from bridge.workers.worker_process import WorkerProcess

SOCKET: Final = "server.sock"
"""Where in RUN_DIR the server that takes new calls is found."""
GIVE_S: Final = 10.0
"""How long the old server may take to give what it has, or to leave."""


class TakeOverFailed(Exception):
    """The old server goes on as before. The text says why."""


def program() -> str:
    """Returns where the program of this process lies, and its version."""
    return f"{sys.prefix} {version('talkspurt')}"


def fingerprint(settings: Settings) -> str:
    """Returns what tells whether two servers have the same settings, and betrays none of them."""
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in sorted(settings.values().items())
    }
    return sha256(json.dumps(values).encode()).hexdigest()


def greeting(run_dir: Path) -> tuple[socket.socket, Message] | None:
    """Connects to the server that runs, and returns what it tells of itself; None where none runs.

    Raises TakeOverFailed where it says nothing: it hangs, and still has the ports.
    """
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.settimeout(GIVE_S)
    try:
        found.connect(str(run_dir / SOCKET))
        if (pid := peer_pid(found)) is None:
            raise OSError
        try:
            return found, json.loads(found.recv(PACKET_BYTES))
        except TimeoutError:
            found.close()
            raise TakeOverFailed(f"the old server, process {pid}, does not answer") from None
    except (OSError, ValueError):
        found.close()
        return None


class OldServer(WorkerProcess):
    """One more worker: it has its calls, is asked about them over HTTP, and takes none but those that it knows."""

    def __init__(self, control: socket.socket, told: Message) -> None:
        self._own = _Process(told["pid"])
        super().__init__(control, Path(told["http"]), cast(asyncio.subprocess.Process, self._own))
        self.environment: dict[str, str] = told["environment"]
        """What systemd told it."""
        self.on_known: Callable[[UUID], None] = lambda call_id: None
        """Hears of each call that the old server has, or is about to have."""
        self._listeners: defaultdict[str, list[int]] = defaultdict(list)
        self._given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def find(cls, run_dir: Path) -> Self | None:
        """Returns the server that takes new calls now, or None. Raises TakeOverFailed."""
        if (found := await asyncio.to_thread(greeting, run_dir)) is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                return cls(*found)
            found[0].close()
        return None

    async def take(self) -> dict[str, list[int]]:
        """Returns the sockets on which it listens, by their address in the settings. It listens on.

        `on_known` hears of its calls. Raises TakeOverFailed.
        """
        self._control.send({"do": "give"})
        await self._wait_for(self._given)
        return self._listeners

    async def leave(self) -> None:
        """Has it stop listening, tell systemd whose process counts now, and end with its last call."""
        self.drain()
        await self._wait_for(self._left)

    async def forget(self) -> None:
        """Lets go of what belongs to it, whether it has ended or goes on as before."""
        self._own.forget()
        self._control.close()
        await self.http.close()

    async def _wait_for(self, answer: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(answer), GIVE_S)
        except TimeoutError:
            raise TakeOverFailed(f"the old server, process {self.pid}, does not answer") from None

    def _told(self, message: Message, descriptor: int | None) -> None:
        if "listener" in message and descriptor is not None:
            self._listeners[message["listener"]].append(descriptor)
        for call_id in message.get("known", ()):
            self.on_known(UUID(call_id))
        if "more" in message:  # so that no more is under way than the socket holds
            self._control.send({"do": "give"})
        if "given" in message and not self._given.done():
            self._given.set_result(None)
        if "left" in message and not self._left.done():
            self._left.set_result(None)
        super()._told(message, None)


class _Process:
    """A process that another one has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)
        self._over = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._handle, self._ended)

    def kill(self) -> None:
        if self._handle >= 0:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def wait(self) -> int:
        await self._over.wait()
        return 0  # its status is told to whoever started it

    def forget(self) -> None:
        if self._handle >= 0:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1

    def _ended(self) -> None:
        self.forget()
        self._over.set()
