"""An event loop whose clock is virtual: it moves on to the next timer at once, so that a call of minutes takes none.

There is no socket and no thread in it. What would happen in either happens in the loop, at the moment that the
simulation chooses, so that one seed always gives the same run.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final
from weakref import WeakSet

from tests.simulation.network import Network

MOST_IDLE_TURNS: Final = 200_000
"""So many turns of the loop without any time passing are a circle: the run is given up."""

NEVER_TAKEN: Final = "Task exception was never retrieved"
"""asyncio's own words."""


class NothingLeft(Exception):
    """The run waits for something that will never happen."""


class _Handle(asyncio.TimerHandle):
    """A callback, with a time or without: asyncio's own, which a run makes thousands of, made and cancelled sooner."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Callable[..., object], args: Any, loop: VirtualLoop, context: Context | None
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop, self._when, self._callback, self._args = loop, when, callback, args
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """Cancels it. A timer that was cancelled is passed over when its time comes."""
        self._cancelled = True
        self._callback = self._args = None


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks as asyncio does, and jumps where asyncio would wait. Connections are those of `network`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._now_s = 1_000.0
        self._idle_turns = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        """A heap; timers for the same moment ring in the order in which they were set."""
        self._set = count()
        self.network = Network(self, seed)
        self.names: dict[str, str] = {}
        """The addresses of hosts that have a name."""
        self.resolves_after_s: float | None = 0.0
        """How long the name server takes; None: it knows no name."""
        self.wall_step_s = 0.0
        """By how much somebody has set the clock of the machine."""
        self.has_descriptors = True
        """Whether a connection can be opened."""
        self._reached: dict[socket.socket, tuple[str, int]] = {}
        self._made: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.problems: list[str] = []
        """What asyncio has logged."""
        self.set_exception_handler(lambda _, context: self.problems.append(_told(context)))

    # Time ---------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now_s

    def wall_time(self) -> float:
        """Returns the time of day, which may be set; the other clock may not."""
        return self._now_s + self.wall_step_s

    def stand_still(self, seconds: float) -> None:
        """Lets time pass in which nothing runs, as when the process is not given the processor."""
        self._now_s += seconds

    def timers(self) -> list[str]:
        """Returns what the timers that are set will call, but for those of the simulation itself."""
        calls = [timer._callback for _, _, timer in self._timers if not timer.cancelled()]
        own = [call for call in calls if not str(getattr(call, "__module__", "")).startswith("tests.")]
        return [str(getattr(call, "__qualname__", call)) for call in own]

    def errors(self) -> list[str]:
        """Returns what asyncio has logged, and would log once the garbage is collected: exceptions that nobody took."""
        left = [task for task in self._made if task.done() and getattr(task, "_log_traceback", False)]
        return sorted([*self.problems, *(f"{NEVER_TAKEN}: {task.exception()!r}" for task in left)])

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self._made.add(task)
        return task

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Handle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._set), timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = _Handle(0.0, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """Runs one turn: what is ready, or else what is due next."""
        ready, timers = self._ready, self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if ready:
            self._idle_turns += 1
            if self._idle_turns > MOST_IDLE_TURNS:
                raise NothingLeft(f"{MOST_IDLE_TURNS} turns of the event loop, and no time has passed")
        elif timers:
            self._now_s = max(self._now_s, timers[0][0])
            self._idle_turns = 0
        elif not self._stopping:
            raise NothingLeft("nothing is left to be done, and the run is not over")
        now_s = self._now_s
        while timers and timers[0][0] <= now_s:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _write_to_self(self) -> None:
        pass

    # Threads ------------------------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, work: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Does the work at once. Its result comes in a later turn of the loop, as that of a thread does."""
        done = self.create_future()
        try:
            result = work(*args)
        except BaseException as error:
            self.call_soon(_unless_over, done, done.set_exception, error)
        else:
            self.call_soon(_unless_over, done, done.set_result, result)
        return done

    # Connections --------------------------------------------------------------------------------------------------

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name in self.names:
            if self.resolves_after_s is None:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            await asyncio.sleep(self.resolves_after_s)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.names.get(name, name), port))]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self._take_descriptor()
        await self.network.reach(address)
        self._reached[sock] = address

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        **_: Any,
    ) -> Any:
        if sock is None:
            self._take_descriptor()
            (*_, address), *_ = await self.getaddrinfo(host, port or 0)
            await self.network.reach(address)
        else:
            address = self._reached.pop(sock)
            sock.close()
        protocol = protocol_factory()
        return self.network.connect(protocol, address), protocol

    def _take_descriptor(self) -> None:
        if not self.has_descriptors:
            raise OSError(errno.EMFILE, "Too many open files")


def _unless_over(done: asyncio.Future[Any], finish: Callable[[Any], None], value: Any) -> None:
    if not done.done():
        finish(value)


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}: {error!r}" if error is not None else str(context["message"])
