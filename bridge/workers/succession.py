"""How a server gives its ports to one that was started after it, and goes on until its last call has ended.

The new one connects to a Unix socket in RUN_DIR and is told who this is. Once it could take calls, it asks for the
ports, listens on them too, and then has this one leave them. So there is no moment at which nobody listens, and a new
server that does not start changes nothing. From then on this one is to it what a worker is that drains: `old_server`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from bridge.workers.control import ANNOUNCED, Control, Message, peer_pid
from bridge.workers.old_server import SOCKET
from bridge.workers.ports import Ports
from bridge.workers.team import Team

log = structlog.get_logger(__name__)

REPORT_EVERY_S: Final = 0.25
IDS_A_PACKET: Final = 1_000


class Succession:
    """The socket in RUN_DIR, and the server that comes next."""

    def __init__(
        self,
        run_dir: Path,
        told: Message,
        team: Team,
        ports: Ports,
        leave: Callable[[int], Awaitable[None]],
        end: Callable[[], None],
    ) -> None:
        """`leave` is to stop listening in favour of a process, `end` to end as on SIGTERM.

        `told` is what else the next server is to know of this one than where it is.
        """
        self._path = run_dir / SOCKET
        self.http_path = run_dir / f"{os.getpid()}.http"
        """Where this server is to be asked over HTTP about the calls that it has."""
        self._greeting = {**told, "pid": os.getpid(), "http": str(self.http_path)}
        self._team, self._ports = team, ports
        self._leave, self._end = leave, end
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._next: Control | None = None
        """The server that has asked for the ports."""
        self._ids: list[str] = []
        """The calls that are still to be told to it."""
        self._received = 0
        self._controls: set[Control] = set()
        self._reports: asyncio.Task[None] | None = None
        self._leaving: asyncio.Future[None] | None = None
        """Done once the ports are left, to whichever server."""

    def start(self) -> None:
        """Can be found from now on, in place of a server that was found so before. Raises OSError."""
        own = self._path.with_name(f"{SOCKET}.{os.getpid()}")
        own.unlink(missing_ok=True)
        self._socket.bind(str(own))
        self._socket.listen()
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._connected)
        own.rename(self._path)

    def tell_ending(self, timeout_s: float) -> None:
        """Tells the next server how long this one may take to end."""
        if self._next is not None:
            self._next.send({"ending": timeout_s})

    def close(self) -> None:
        """Is not found any more, and tells nobody anything."""
        for future in (self._reports, self._leaving):
            if future is not None:
                future.cancel()
        for control in tuple(self._controls):
            control.close()
        self.http_path.unlink(missing_ok=True)
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            was_found = bool(self._socket.getsockname())
            self._socket.close()
            if was_found and self._leaving is None:  # otherwise it is another server's
                self._path.unlink(missing_ok=True)

    def _connected(self) -> None:
        connection, _ = self._socket.accept()
        if (pid := peer_pid(connection)) is None:
            connection.close()
            return
        control = Control(
            connection,
            lambda message, descriptor: self._told(control, pid, message, descriptor),
            lambda: self._gone(control),
        )
        self._controls.add(control)
        control.send(self._greeting)

    def _gone(self, control: Control) -> None:
        self._controls.discard(control)
        if control is not self._next:
            return
        if self._leaving is None:
            log.warning("the new server has gone before it took over; this one goes on")
        else:
            log.error("the server that took over has gone; the calls that are here go on")
        self._next = None  # yet another one may come
        self._team.roster.on_known = lambda call_id: None
        if self._reports is not None:
            self._reports.cancel()

    def _told(self, control: Control, pid: int, message: Message, descriptor: int | None) -> None:
        if descriptor is not None:
            self._let_in(socket.socket(fileno=descriptor), message)
        match message.get("do"):
            case "give" if self._next in (None, control):
                self._give(control)
            case "drain" if self._next is control:
                if self._leaving is None:
                    self._leaving = asyncio.ensure_future(self._leave(pid))
                self._leaving.add_done_callback(lambda _: control.send({"left": True}))
            case "stop" if self._next is control:
                self._end()

    def _give(self, control: Control) -> None:
        if self._next is None:
            self._next = control
            for address, listener in self._ports.listeners():
                control.send({"listener": address}, listener.fileno())
            self._ids = [str(call_id) for call_id in self._team.roster.known()]
            self._team.roster.on_known = partial(self._tell_of, control)
            self._reports = asyncio.create_task(self._report(control))
        told, self._ids = self._ids[:IDS_A_PACKET], self._ids[IDS_A_PACKET:]
        control.send({"known": told, ("more" if self._ids else "given"): True})

    def _tell_of(self, control: Control, call_id: UUID) -> None:
        control.send({"known": [str(call_id)]})

    async def _report(self, control: Control) -> None:
        while True:
            control.send({"calls": self._load(), "announced": 0, "received": self._received})
            await asyncio.sleep(REPORT_EVERY_S)

    def _load(self) -> int:
        return sum(worker.load for worker in self._team.roster.workers)

    def _let_in(self, connection: socket.socket, message: Message) -> None:
        """Takes the connection of a call of this server that came to the next one."""
        self._received += ANNOUNCED not in message
        if "media" in message:
            with connection:
                told = {name: message[name] for name in ("media", "data")}
                if not self._team.pass_on(connection.fileno(), UUID(message["media"]), told):
                    log.error("no worker takes a call")
        else:
            self._ports.door.let_in(connection)
