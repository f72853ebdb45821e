"""Supervises the model's process: loads it when needed, ends it when idle, replaces it when it is lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import structlog

from engine.qwen3.host.process import WORKER, ModelProcess
from engine.qwen3.messages import Beat, Command, Event, NotReady, Ready
from engine.qwen3.settings import QwenSettings
from engine.speech import EngineNotReady, SpeechError

log = structlog.get_logger(__name__)

# Compiling and capturing take minutes the first time; a process that needs longer hangs.
LOAD_TIMEOUT_S: Final = 900.0
# A process that has work and says nothing for so long hangs: a frame takes milliseconds, and it beats every second.
HANG_TIMEOUT_S: Final = 20.0
# A client is told to come again so soon while the model is loaded again: a warm load takes some 10 s.
RETRY_AFTER_S: Final = 10
REBUILD_DELAYS_S: Final = (0.0, 1.0, 5.0, 15.0, 60.0)

State = Literal["unloaded", "loading", "ready", "rebuilding", "closed"]


class Supervisor:
    """Keeps one model process at a time. Everything runs on one event loop."""

    def __init__(
        self,
        settings: QwenSettings,
        on_event: Callable[[Event], None],
        on_lost: Callable[[SpeechError], None],
        *,
        hang_timeout_s: float = HANG_TIMEOUT_S,
        rebuild_delays_s: Sequence[float] = REBUILD_DELAYS_S,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        """`on_event` gets every event but NotReady; `on_lost` is told that all that was asked for is lost, and why."""
        self._settings = settings
        self._on_event = on_event
        self._on_lost = on_lost
        self._hang_timeout_s = hang_timeout_s
        self._rebuild_delays_s = rebuild_delays_s
        self._command = command
        self._process: ModelProcess | None = None
        self._standby: ModelProcess | None = None
        """The process that stands by between an unload and the next load: importing is most of what a load takes."""
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._busy = False
        self._attempts = 0
        self._error: SpeechError | None = None
        self.state: State = "unloaded"
        self.faults = 0
        """The processes lost while they worked."""
        self.unloads = 0
        """How often an idle model was unloaded."""

    @property
    def pid(self) -> int | None:
        """The id of the process, if there is one."""
        return None if self._process is None else self._process.pid

    @property
    def warning(self) -> str:
        """The reason why there is no model where there should be one; else empty."""
        return "" if self._error is None else str(self._error)

    async def loaded(self) -> None:
        """Waits until the model is there, and begins to load it if nobody has. Raises SpeechError where it cannot.

        Raises EngineNotReady where a model was lost and is being loaded again: that may take long.
        """
        if self.state == "unloaded":
            self._set("loading")
            self._spawn(self._load())
        while self.state != "ready":
            if self.state == "rebuilding":
                raise EngineNotReady(f"the model is being loaded again: {self.warning}", RETRY_AFTER_S)
            if self.state != "loading":
                raise self._error or SpeechError("the engine was closed")
            await self._changed.wait()

    async def stand_by(self) -> None:
        """Starts a process that can load the model when it is wanted. It holds host memory and nothing of the GPU."""
        if self.state != "unloaded" or self._standby is not None:
            return
        with suppress(OSError):  # whoever wants the model will be told
            process = await ModelProcess.start(self._hear, self._left, self._command)
            if self.state != "unloaded":  # closed meanwhile, or wanted and begun without it
                await _discard(process)
            elif not process.gone:
                self._standby = process

    def send(self, command: Command) -> None:
        """Sends a command to the process. Without one it is dropped, for then `on_lost` has been called."""
        if self._process is not None and self.state == "ready":
            self._process.send(command)

    def work(self, busy: bool) -> None:
        """Notes whether anybody waits for the process. While somebody does, it is watched and not unloaded."""
        if busy and not self._busy and self._process is not None:
            self._process.touch()
        self._busy = busy
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if not busy and self.state == "ready" and self._settings.idle_timeout:
            self._idle = asyncio.get_running_loop().call_later(self._settings.idle_timeout, self._unload)

    async def close(self) -> None:
        """Ends the processes and waits for them. Closing again does nothing."""
        self._set("closed")
        self.work(busy=False)
        if self._closing is not None:
            await self._closing
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()
        standby, self._standby = self._standby, None
        if standby is not None:
            await _discard(standby)

    async def _load(self) -> None:
        if self._closing is not None:
            await self._closing
        self._error = None if self.state == "loading" else self._error
        process, self._standby = self._standby, None
        if process is None:
            try:
                process = await ModelProcess.start(self._hear, self._left, self._command)
            except OSError as error:
                self._error = SpeechError(f"the model's process cannot be started: {error}")
                self._set("unloaded")
                return
        self._process = process
        process.load(self._settings)
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                await process.ready.wait()
        except TimeoutError:
            self._error = SpeechError(f"the model was not loaded within {LOAD_TIMEOUT_S:.0f} s")
            process.kill()
        while not process.gone:
            # Often enough to find a process that hangs soon after its time.
            await asyncio.sleep(self._hang_timeout_s / 4)
            if self._busy and process.silent_s > self._hang_timeout_s:
                self._error = SpeechError(f"the model's process said nothing for {process.silent_s:.0f} s")
                process.kill()
                return

    def _hear(self, process: ModelProcess, event: Event) -> None:
        if isinstance(event, NotReady):
            self._error = SpeechError(event.message)
            return
        if process is not self._process or self.state == "closed":
            return
        if isinstance(event, Ready):
            self._attempts = 0
            self._error = None
            process.ready.set()
            self._on_event(event)
            self._set("ready")
            self.work(self._busy)
        elif self.state == "ready" or isinstance(event, Beat):
            self._on_event(event)

    def _left(self, process: ModelProcess, status: int) -> None:
        """Handles the end of a process: it was told to go, it could not load, or it failed."""
        process.ready.set()
        if process is self._standby:
            self._standby = None
            log.warning("the process that stood by for the model is gone", why=_why(status))
        if process is not self._process:
            return
        self._process = None
        if self.state == "closed":
            return
        error = self._error or SpeechError(f"the model's process ended unexpectedly ({_why(status)})")
        self._error = error
        log.error(str(error))
        before = self.state
        if before == "loading":
            self._set("unloaded")
        else:
            self.faults += before == "ready"
            self._set("rebuilding")
            self.work(self._busy)  # what is being replaced is not unloaded
            self._spawn(self._rebuild())
        lost = self.state == "rebuilding"
        self._on_lost(EngineNotReady(str(error), RETRY_AFTER_S) if lost else error)

    async def _rebuild(self) -> None:
        delay_s = self._rebuild_delays_s[min(self._attempts, len(self._rebuild_delays_s) - 1)]
        self._attempts += 1
        await asyncio.sleep(delay_s)
        await self._load()

    def _unload(self) -> None:
        log.info("nobody has spoken for a while: the model is unloaded", idle_s=self._settings.idle_timeout)
        self.unloads += 1
        self._set("unloaded")
        self._on_lost(SpeechError("the model was unloaded"))
        self._closing = self._spawn(self._make_room())

    async def _make_room(self) -> None:
        await self._end()
        await self.stand_by()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _set(self, state: State) -> None:
        self.state = state
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _discard(process: ModelProcess) -> None:
    process.kill()  # it may be importing for seconds yet, and has nothing to lose
    await process.close()


def _why(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed, as the system does when memory runs out"
    return f"signal {-status}" if status < 0 else f"exit status {status}"
