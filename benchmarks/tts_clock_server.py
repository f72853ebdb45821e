"""All of `talkspurt serve`, with the Qwen3-TTS model in a thread of the serving process, with a stand-in for the GPU in
the model's own process, or with audio already made.

    python -m benchmarks.tts_clock_server thread|stand-in|made     settings from the environment, as `serve` has them

For `benchmarks.tts_clock` and `benchmarks.tts_rush`. The thread runs the very loop of the model's process; what goes
over pipes there goes over queues here, unpickled. SIGUSR1 shortens the interpreter's switch interval.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TextIO

import numpy as np

from benchmarks.loop_watch import watch
from benchmarks.ours_server import ClipEngine
from benchmarks.servers import CLIP_LEVEL, CLIP_S
from bridge.app import App
from bridge.config import load_settings
from bridge.logs import set_up_logs
from engine.qwen3.host import supervisor
from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.messages import Beat, Command, Event, NotReady
from engine.qwen3.settings import SAMPLE_RATE_HZ, QwenSettings
from engine.registry import create_engine
from engine.speech import Engine, SpeechError
from engine.status import EngineStatus

SHORT_SWITCH_S = 0.0005
"""A tenth of Python's own: how long a thread keeps the interpreter's lock while another waits for it."""


class MadeEngine(ClipEngine):
    """Noise at the model's rate, so that it is resampled for each call as the model's sound is."""

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self) -> None:
        noise = np.random.default_rng(0).normal(0, CLIP_LEVEL, CLIP_S * SAMPLE_RATE_HZ)
        super().__init__(noise.astype(np.int16))


class StandInEngine(Qwen3Engine):
    """Told by the beats of `benchmarks.tts_rush_worker` how long they were on their way: `lag_ms` in its status."""

    lag_s = 0.0

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Beat):
            self.lag_s = max(self.lag_s, time.monotonic() - event.facts["told_s"])
        super()._on_event(event)

    def status(self) -> EngineStatus:
        status = super().status()
        return replace(status, details={**status.details, "lag_ms": self.lag_s * 1e3})


class ModelThread:
    """Takes the place of `ModelProcess`, without a process. Nobody watches whether it hangs."""

    silent_s = 0.0

    def __init__(
        self, on_event: Callable[[ModelThread, Event], None], on_exit: Callable[[ModelThread, int], None]
    ) -> None:
        self.ready = asyncio.Event()
        self.gone = False
        self.pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._on_event, self._on_exit = on_event, on_exit
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @classmethod
    async def start(
        cls,
        on_event: Callable[[ModelThread, Event], None],
        on_exit: Callable[[ModelThread, int], None],
        command: tuple[str, ...],
    ) -> ModelThread:
        return cls(on_event, on_exit)

    def load(self, settings: QwenSettings) -> None:
        self._thread = threading.Thread(target=self._run, args=(settings,), name="model", daemon=True)
        self._thread.start()

    def touch(self) -> None: ...

    def kill(self) -> None:
        self._commands.put(None)

    def send(self, command: Command) -> None:
        self._commands.put(command)

    async def close(self) -> None:
        self._commands.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, settings: QwenSettings) -> None:
        try:
            self._work(settings)
        finally:
            self._loop.call_soon_threadsafe(self._ended)

    def _work(self, settings: QwenSettings) -> None:
        """What `engine.qwen3.worker.main` does."""
        from engine.qwen3.worker.build import build  # torch: only where the model is
        from engine.qwen3.worker.worker import Worker

        try:
            worker = Worker(build(settings), self._send)
        except SpeechError as error:
            self._send([NotReady(str(error))])
            return
        try:
            while True:
                try:
                    patience_s = worker.patience_s
                    command = self._commands.get(timeout=patience_s) if patience_s else self._commands.get_nowait()
                    if command is None:
                        return
                    worker.handle(command)
                except queue.Empty:
                    worker.turn()
        finally:
            worker.close()

    def _send(self, events: Iterable[Event]) -> None:
        if batch := tuple(events):
            self._loop.call_soon_threadsafe(self._hear, batch)

    def _hear(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._on_event(self, event)

    def _ended(self) -> None:
        self.gone = True
        self._on_exit(self, 0)


async def serve(way: str, told: TextIO) -> None:
    """Tell where it listens, then serve until killed."""
    settings = load_settings()
    others = (settings.voices, settings.speech.request_timeout)
    if way == "thread":
        supervisor.ModelProcess = ModelThread  # type: ignore[assignment, attr-defined]
    match way:
        case "thread":
            engine: Engine = create_engine(settings.engine, settings.qwen, *others)
        case "stand-in":
            engine = StandInEngine(settings.qwen, *others, command=("-m", "benchmarks.tts_rush_worker"))
        case _:
            engine = MadeEngine()
    app = App(settings, engine)
    await app.start()
    if isinstance(engine, StandInEngine):
        engine.lag_s = 0.0  # the start's does not count
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, sys.setswitchinterval, SHORT_SWITCH_S)
    where = {"host": "127.0.0.1", "port": app.audiosocket_port, "http_url": f"http://127.0.0.1:{app.http_port}"}
    told.write(json.dumps(where) + "\n")
    told.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    set_up_logs("text", "warning")
    # What libraries print as they are loaded must not get before the line that is waited for.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    watch()
    asyncio.run(serve(sys.argv[1], out))
