"""`talkspurt serve` with WORKERS=2 or more: the process that owns ports and engine, and gives each call to a worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from bridge.app import CLOSE_S, FORM_BYTES, HTTP_CLOSE_S, log_ready, warn_of_root
from bridge.background import BackgroundTasks
from bridge.calls_api import take_call_tokens
from bridge.calls_api.elsewhere import add_elsewhere
from bridge.cluster.membership import ask_redis
from bridge.cluster.redis_watch import watch_redis
from bridge.config import Settings
from bridge.console import Rights, add_console, take_console_cookies
from bridge.conversation.agents.agents_file import load_agents
from bridge.conversation.agents.yaml_file import WrongFile
from bridge.http.server import HttpServer
from bridge.line.clock import Tick
from bridge.line.doorway import raise_descriptor_limit
from bridge.service_manager import TOLD, Notify, notifier, watchdog
from bridge.workers.forwarding import Forwarding
from bridge.workers.old_server import OldServer, TakeOverFailed, fingerprint, program
from bridge.workers.ports import Inherited, Ports
from bridge.workers.succession import Succession
from bridge.workers.team import Team
from bridge.workers.whole_metrics import WholeMetrics
from bridge.workers.worker import name_remote
from bridge.workers.worker_process import WorkerFailed
from engine.api import HEALTH, SpeechService, add_speech_routes
from engine.api.voice_names import OPENAI_VOICES, QWEN_VOICES
from engine.lexicon import Lexicon
from engine.link.server import LinkServer
from engine.registry import create_engine
from engine.speech import Engine, SpeechError
from engine.web.access import add_access_checks

log = structlog.get_logger(__name__)

ALIVE_EVERY_S: Final = 0.5
"""How often it is looked whether systemd is to be told that all clocks run."""
BUSY_S: Final = 0.05
"""After which systemd is told once more what it was too busy to be told."""
TRIES: Final = 100
LATE_S: Final = 2.0
"""How long a server that has left its ports lets in what had reached it before."""
LOCAL_CONNECTIONS: Final = 10_000
"""How many requests the next server may send on at once: it has a limit of its own."""


class Supervisor:
    """Everything that this process runs. `start` and then `stop` are called once each.

    With RUN_DIR it takes over from the server that was found there, and later gives its ports to the next one.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings, self._server = settings, settings.server
        self._engine = engine
        self._folder = Path(tempfile.mkdtemp(prefix="talkspurt-"))  # for this user alone
        self._link = LinkServer(engine, (*QWEN_VOICES, *OPENAI_VOICES))
        self.team = Team(self._server.workers, self._server.max_calls, self._link, self._folder)
        self._forwarding = Forwarding(self.team)
        self.ports = Ports(self._server, self.team.hand_over)
        self._shared = ask_redis(
            settings.cluster, self._server.http_host, self._server.http_port, settings.conversation.max_call_s
        )
        self._speech: SpeechService | None = None
        self._lexicon: Lexicon | None = None
        self._record_folders: set[Path] = set()
        self._reloads = BackgroundTasks()
        self._reading = asyncio.Lock()
        """The lock that is held while the agents are read: what was asked for last is read last, and counts."""
        self._local: HttpServer | None = None
        self._environment: Mapping[str, str] = os.environ
        """What systemd has told this server, or the one that was there before it."""
        self._notify: Notify | None = None
        self._succession: Succession | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        """Set when it is to stop: it was told to, or has left its ports and its last call has ended."""
        self._alive: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the engine, starts the workers, then listens. Raises SpeechError or OSError once all is closed."""
        try:
            await self._start()
        except BaseException:
            await self._close(0.0)
            raise

    async def _start(self) -> None:
        raise_descriptor_limit()
        await self._engine.start()
        try:
            await self.team.start()
        except WorkerFailed as error:
            raise SpeechError(str(error)) from None
        await self._read_agents()
        old = await self._find_old()
        try:
            await self._listen(old)
        except BaseException:
            if old is not None:  # it goes on, with its calls at least
                self.team.roster.remove(old)
                await old.forget()
            raise
        self._tell_service_manager()

    async def _find_old(self) -> OldServer | None:
        if self._server.run_dir is None:
            return None
        try:
            return await OldServer.find(self._server.run_dir)
        except TakeOverFailed as error:
            raise SpeechError(str(error)) from None

    async def _listen(self, old: OldServer | None) -> None:
        await self.ports.open(await self._take_over(old) if old is not None else {})
        # Calls are let in here, then the old server leaves, and only then calls are announced here: so a call is known
        # where it comes, whichever of the two it was announced to.
        if old is not None:
            await self._succeed(old)
        await self.ports.answer(self._web_app())
        await self._await_the_next()

    async def _take_over(self, old: OldServer) -> Inherited:
        """Learns where calls are that the old server has, and returns its ports."""
        log.info("taking over", old=old.pid)
        old.on_known = lambda call_id: self.team.roster.inherit(call_id, old)
        try:
            return await old.take()
        except TakeOverFailed as error:
            raise SpeechError(str(error)) from None

    async def _succeed(self, old: OldServer) -> None:
        """Has the old server leave its ports. It is a worker from now on that drains."""
        self.team.join(old)
        self._environment = old.environment
        try:
            await old.leave()
        except TakeOverFailed as error:  # it hangs, and is ended for that
            log.error("the old server does not leave", error=str(error))

    async def _await_the_next(self) -> None:
        """Can be found by a server that is started later, and answers it about the calls that are here."""
        if (run_dir := self._server.run_dir) is None:
            return
        told = {
            "program": program(),
            "settings": fingerprint(self._settings),
            "environment": {name: self._environment[name] for name in TOLD if name in self._environment},
        }
        self._succession = Succession(run_dir, told, self.team, self.ports, self._leave, self.over.set)
        self._local = HttpServer(self._local_app(), LOCAL_CONNECTIONS)
        try:
            await self._local.start_locally(self._succession.http_path)
            self._succession.start()
        except OSError as error:
            raise OSError(f"RUN_DIR={run_dir}: {error.strerror or error}") from error

    async def _leave(self, pid: int) -> None:
        """Leaves the ports to another process, tells systemd of it, and ends with the last call."""
        log.info("another server takes the new calls", server=pid, calls=self.team.calls)
        self.ports.leave()
        if self._alive is not None:
            self._alive.cancel()
        self._leaving = asyncio.create_task(self._end_with_the_last_call())
        notify, self._notify = self._notify, None
        for _ in range(TRIES):  # were systemd not to hear of it, it would end both
            if notify is None or notify(f"MAINPID={pid}"):
                return
            await asyncio.sleep(BUSY_S)

    async def _end_with_the_last_call(self) -> None:
        await asyncio.sleep(LATE_S)
        await self.team.retire()
        self.over.set()

    def _tell_service_manager(self) -> None:
        self._notify = notifier(self._environment)
        if self._notify is not None:
            if (alive := watchdog(self._notify, self._environment)) is not None:
                self._alive = asyncio.create_task(self._tell_alive(alive))
            self._notify("READY=1")

    def reload(self) -> None:
        """Has the workers read the agents anew, and this process what it needs to know of them."""
        self.team.reload()
        self._reloads.start(self._read_agents())

    async def _read_agents(self) -> None:
        """Reads the lexicon with the agents, as workers do: where these refuse it now, it stays as it was here too."""
        settings = self._settings
        if settings.conversation.lexicon is None and not settings.server.console:
            return
        resolve_voice, needs_model = self._engine.resolve_voice, not settings.realtime.is_brain
        try:
            async with self._reading:
                agents = await asyncio.to_thread(
                    load_agents, settings.conversation, resolve_voice, needs_model=needs_model
                )
                self._lexicon, self._record_folders = agents.lexicon, agents.record_folders
        except WrongFile as error:
            log.error("the lexicon stays as it was", faults=str(error).splitlines())
        if self._speech is not None:
            self._speech.lexicon = self._lexicon

    async def stop(self) -> None:
        """Takes no new calls, lets calls end within DRAIN_TIMEOUT, and closes everything."""
        timeout_s = self._server.drain_timeout
        log.info("draining", calls=self.team.calls, timeout_s=timeout_s)
        if self._notify is not None:
            self._notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={(timeout_s + CLOSE_S) * 1e6:.0f}")
        if self._succession is not None:
            self._succession.tell_ending(timeout_s + CLOSE_S)
        await self._close(timeout_s + CLOSE_S / 2)
        log.info("stopped")

    async def _close(self, timeout_s: float) -> None:
        self.ports.door.close()
        await self.team.stop(timeout_s)
        for task in (self._alive, self._leaving):
            if task is not None:
                task.cancel()
        await self._reloads.close(0)
        await self.ports.close(HTTP_CLOSE_S)
        if self._local is not None:
            await self._local.close(HTTP_CLOSE_S)
        await self._link.close()
        if self._shared is not None:
            await self._shared.close()
        await self._engine.close()
        if self._succession is not None:
            self._succession.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _tell_alive(self, tick: Tick) -> None:
        """Tells systemd that the server is alive, while all clocks run."""
        while True:
            if self.team.clocks_run():
                tick(time.monotonic())
            await asyncio.sleep(ALIVE_EVERY_S)

    def _web_app(self) -> web.Application:
        settings, registry = self._settings, CollectorRegistry()
        registry.register(WholeMetrics(self._folder, lambda: self.team.calls))
        app = web.Application(client_max_size=settings.voices.max_upload_bytes + FORM_BYTES)
        hosts = (self._server.http_host, *settings.cluster.hosts)
        self._speech = add_speech_routes(app, self._engine, settings.speech, settings.voices, registry, hosts)
        self._speech.lexicon = self._lexicon
        self._forwarding.add_routes(app)
        if self._shared is not None:
            add_elsewhere(app, self._shared, self.team.roster.has)
            watch_redis(app, self._shared, registry)
        if api_key := settings.speech.api_key.get_secret_value():
            take_call_tokens(app, api_key)
            if self._server.console:
                add_console(app, api_key, Rights.of(self._server), lambda: self._record_folders)
        app[HEALTH].append(
            lambda: {
                "calls": self.team.calls,
                "max_calls": self._server.max_calls,
                "overloaded": self.team.roster.is_overloaded(),
                "workers": self.team.described(),
            }
        )
        return app

    def _local_app(self) -> web.Application:
        """Returns what the next server asks about the calls that are here. It has checked under which host it is."""
        speech = self._settings.speech
        app = web.Application()
        app.middlewares.append(name_remote)
        api_key = speech.api_key.get_secret_value()
        add_access_checks(app, api_key, speech.origins(), hosts=("*",))
        self._forwarding.add_routes(app)
        if api_key:
            take_call_tokens(app, api_key)
            if self._server.console:
                take_console_cookies(app, api_key, Rights.of(self._server))
        return app


async def supervise(settings: Settings, engine: Engine | None = None, *, ready_fd: int | None = None) -> None:
    """Serves until SIGTERM or SIGINT. Raises SpeechError or OSError if it cannot start.

    Once it takes calls, it writes a byte to the descriptor `ready_fd`.
    """
    workers = settings.server.workers
    engine = engine or create_engine(
        settings.engine, settings.qwen, settings.voices, settings.speech.request_timeout, cores=workers
    )
    supervisor = Supervisor(settings, engine)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, supervisor.over.set)
    await supervisor.start()
    log_ready(settings.server, supervisor.ports.audiosocket_port, supervisor.ports.http_port, engine)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    loop.add_signal_handler(signal.SIGUSR2, supervisor.team.roll)
    warn_of_root()
    if ready_fd is not None:
        os.write(ready_fd, b"\n")
        os.close(ready_fd)
    try:
        await supervisor.over.wait()
    finally:
        await supervisor.stop()
