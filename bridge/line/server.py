"""The AudioSocket TCP server: it listens, admits calls, and drives the one clock of all their connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from bridge.line.call import Call, Wire
from bridge.line.clock import Clock
from bridge.line.connection import CLOSE_DEADLINE_S, HANGUP, Connection
from bridge.line.doorway import BACKLOG, open_doorways
from bridge.line.sparse_log import SparseLog
from bridge.line.timer import Timer

log = structlog.get_logger(__name__)


class AudioSocketServer:
    """Listens for connections, and drives the one clock of all their calls."""

    def __init__(
        self,
        admit: Callable[[UUID, Wire], Call],
        on_lateness: Callable[[float], None] = lambda late_s: None,
        max_unnamed: int = BACKLOG,
    ) -> None:
        self.admit = admit
        """Sets up the call of a connection that has sent its UUID. Raises CallRefused."""
        self.prepare: Callable[[UUID], Awaitable[None] | None] = lambda call_id: None
        """Returns what is to be waited for, a moment, before a call's `admit`; None for nothing. It raises nothing."""
        self.max_unnamed = max_unnamed
        """The number of connections that may be without a call; one more is closed."""
        self.strangers = SparseLog()
        """Tells of connections that are not taken as calls."""
        self.clock = Clock(on_lateness)
        self.connections: set[Connection] = set()
        self._timer: Timer | None = None
        self._servers: list[asyncio.Server] = []
        self._gone = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        """Starts to listen and returns the port, which the system chooses if `port` is 0. Raises OSError."""
        loop = asyncio.get_running_loop()
        for doorway in await open_doorways(host, port, HANGUP):
            self._servers.append(await loop.create_server(lambda: Connection(self), sock=doorway, backlog=BACKLOG))
        self.start_clock()
        return int(self._servers[0].sockets[0].getsockname()[1])

    def start_clock(self) -> None:
        """Starts the clock of all calls, for a server that does not listen itself."""
        self._timer = Timer(asyncio.get_running_loop(), self._run_clock)
        self._arm()

    @property
    def unnamed(self) -> int:
        """The number of connections without a call: before their UUID, or refused."""
        return sum(not connection.named for connection in self.connections)

    async def drain(self, timeout_s: float) -> None:
        """Takes no new calls and lets those in progress finish what they are saying, for at most `timeout_s`."""
        for server in self._servers:
            server.close()
        for connection in self.connections:
            connection.finish()
        if not await self._all_gone(timeout_s):
            log.warning("calls cut at the end of the drain time", calls=len(self.connections))
            for connection in tuple(self.connections):
                connection.hang_up()
            await self._all_gone(CLOSE_DEADLINE_S)

    async def close(self) -> None:
        """Ends every connection that is left and stops listening."""
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.abort()
        for server in self._servers:
            await server.wait_closed()
        if self._timer is not None:
            self._timer.close()

    async def _all_gone(self, timeout_s: float) -> bool:
        self._gone = asyncio.Event()
        if not self.connections:
            return True
        try:
            await asyncio.wait_for(self._gone.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def joined(self, connection: Connection, tick: Callable[[float], None]) -> None:
        """Ticks a connection that was accepted, from now on."""
        self.connections.add(connection)
        self.tick(tick)

    def tick(self, tick: Callable[[float], None]) -> None:
        """Has the clock of all calls tick this too, from now on."""
        self.clock.join(tick, time.monotonic())
        self._arm()

    def left(self, connection: Connection) -> None:
        """Forgets a connection that is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._gone.set()

    def _run_clock(self) -> None:
        self.clock.run(time.monotonic())
        self._arm()

    def _arm(self) -> None:
        next_s = self.clock.next_s()
        if self._timer is not None and next_s is not None:
            self._timer.arm(next_s)
