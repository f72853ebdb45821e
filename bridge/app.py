"""`talkspurt serve`: runs the engine, the AudioSocket server and the HTTP server in one process until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from bridge.background import BackgroundTasks
from bridge.calls_api import add_call_routes, take_call_tokens
from bridge.calls_api.elsewhere import add_elsewhere
from bridge.calls_api.lookup import SHARED
from bridge.cluster.membership import Membership, ask_redis, http_url
from bridge.cluster.redis_watch import watch_redis
from bridge.config import ServerSettings, Settings
from bridge.console import Rights, add_console
from bridge.conversation.calls import Calls
from bridge.conversation.memory import BRIEF_OF, CONTINUES
from bridge.conversation.registration import Registrations
from bridge.conversation.services import Services
from bridge.explaining import naming
from bridge.first_words import FirstWords
from bridge.garbage import Garbage
from bridge.http.server import HttpServer
from bridge.line.call import Call, Wire
from bridge.line.call_limit import CallLimit
from bridge.line.doorway import Doorway, raise_descriptor_limit
from bridge.line.server import AudioSocketServer
from bridge.line.websocket_connection import WebSocketConnection
from bridge.metrics import Metrics
from bridge.outbound.outbound_calls import OutboundCalls
from bridge.outbound.spool_watch import SpoolWatch
from bridge.service_manager import notifier, watchdog
from bridge.traces.call_traces import CallTraces
from engine.api import HEALTH, SpeechService, add_speech_routes
from engine.api.service import SPEECH
from engine.registry import create_engine
from engine.speech import Engine, SpeechError, UnknownVoice

if TYPE_CHECKING:
    from bridge.wyoming.server import WyomingServer

log = structlog.get_logger(__name__)

NICENESS: Final = -5
"""The process's niceness: a frame is due every 20 ms, so that it comes before batch work, but behind Asterisk, which
runs at -10 or in real time where it may."""
FORM_BYTES: Final = 2**20
"""How much a form may hold beside its file."""
CLOSE_S: Final = 15.0
"""How long everything may take to close after DRAIN_TIMEOUT, until systemd ends it."""
HTTP_CLOSE_S: Final = 0.25
"""How long HTTP requests get to end even if calls have used up DRAIN_TIMEOUT."""


async def open_wyoming(
    server: ServerSettings, service: SpeechService, doorways: Sequence[Doorway] = ()
) -> WyomingServer | None:
    """Listens for Home Assistant, where WYOMING_PORT is set: on `doorways` where there are some. Raises OSError."""
    if server.wyoming_port is None:
        return None
    from bridge.wyoming.server import WyomingServer  # its package is there: the settings have been checked

    wyoming = WyomingServer(service, server.max_connections)
    with naming("WYOMING", server.wyoming_host, server.wyoming_port):
        await wyoming.start(server.wyoming_host, server.wyoming_port, doorways)
    log.info("serving Wyoming", address=f"{server.wyoming_host}:{wyoming.port}")
    return wyoming


class App:
    """Everything that `serve` runs. `start` and then `stop` are called once each."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings, self._server = settings, settings.server
        self.engine = engine
        self.metrics = Metrics(CollectorRegistry())
        self.call_limit = CallLimit(lambda: len(self.calls), time.monotonic)
        """How many calls may be added, as far as the calls' clock tells."""
        self.calls = Calls(
            settings.server.max_calls,
            Registrations(settings.conversation.registration_ttl),
            require_registration=settings.conversation.require_registration,
            refused=self.metrics.call_refused,
            is_overloaded=self.call_limit.is_reached,
        )
        self.outbound = OutboundCalls(settings.outbound)
        self.traces = CallTraces(settings.traces)
        self.services = Services(
            settings.conversation,
            self.metrics.registry,
            engine.resolve_voice,
            realtime=settings.realtime,
            privacy=settings.privacy.make(),
            reader_of=self.traces.follow,
        )
        shared = ask_redis(
            settings.cluster, self._server.http_host, self._server.http_port, settings.conversation.max_call_s
        )
        keeps_words = settings.privacy.make().keeps_words
        self.membership = Membership(shared, self.calls, keeps_words=keeps_words) if shared is not None else None
        """Its place among several bridges; None where it is alone."""
        self.audiosocket = AudioSocketServer(
            self._take_call,
            self._note_lateness,
            max(settings.server.max_calls, settings.server.max_connections),
        )
        if self.membership is not None:
            self.audiosocket.prepare = self.membership.arrivals.prepare
        self.metrics.missed.set_function(lambda: self.audiosocket.clock.missed_ticks)
        self.audiosocket_port = 0
        self.http_port = 0
        self._first_words = FirstWords(
            engine, settings.server.apology, settings.conversation.style, normalize=settings.speech.text_normalize
        )
        self._spool_watch: asyncio.Task[None] | None = None
        self._garbage: asyncio.Task[None] | None = None
        self._reloads = BackgroundTasks()
        self._http: HttpServer | None = None
        self._speech: SpeechService | None = None
        self.wyoming: WyomingServer | None = None
        self._notify = notifier()

    async def start(self) -> None:
        """Loads the engine, then listens. Raises SpeechError or OSError once everything has been closed again."""
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise

    async def _start(self) -> None:
        await self.engine.start()
        try:
            self.engine.resolve_voice(self._settings.conversation.voice)
        except UnknownVoice as error:
            raise SpeechError(f"VOICE={error.voice!r}: must be one of {', '.join(error.known)}") from None
        await self._first_words.say()
        await self.services.start()
        await self.services.rehearse()
        if self.membership is not None:
            self.membership.start()
        if self.outbound.spool is not None:
            watch = SpoolWatch(self.outbound, self.outbound.spool, self.services.tell)
            self._spool_watch = asyncio.get_running_loop().create_task(watch.run())
        raise_descriptor_limit()
        self._http = HttpServer(self._web_app(), self._server.max_connections)
        await self._listen(self._http)
        with contextlib.suppress(OSError):  # needs CAP_SYS_NICE; a machine with time to spare does without
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        self._tell_service_manager()
        self._garbage = asyncio.get_running_loop().create_task(Garbage(lambda: len(self.calls)).run())

    async def _listen(self, http: HttpServer) -> None:
        host, port = self._server.http_host, self._server.http_port
        with naming("HTTP", host, port):
            self.http_port = await http.start(host, port)
        if self.membership is not None and not self._settings.cluster.bridge_url:
            self.membership.shared.at = http_url(host, self.http_port)
        self.wyoming = await open_wyoming(self._server, http.app[SPEECH])
        host, port = self._server.audiosocket_host, self._server.audiosocket_port
        with naming("AUDIOSOCKET", host, port):
            self.audiosocket_port = await self.audiosocket.start(host, port)

    def reload(self) -> None:
        """Has the agents and the lexicon read anew; calls in progress keep theirs."""
        self._reloads.start(self._reload())

    async def _reload(self) -> None:
        await self.services.reload()
        if self._speech is not None:
            self._speech.lexicon = self.services.agents.lexicon

    def _tell_service_manager(self) -> None:
        if self._notify is None:
            return
        if tick := watchdog(self._notify):
            self.audiosocket.tick(tick)
        self._notify("READY=1")

    async def stop(self) -> None:
        """Takes no new calls, lets calls and then downloads end within DRAIN_TIMEOUT, and closes everything."""
        until_s = time.monotonic() + self._server.drain_timeout
        log.info("draining", calls=len(self.calls), timeout_s=self._server.drain_timeout)
        if self._notify is not None:
            wait_s = self._server.drain_timeout + CLOSE_S
            self._notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={wait_s * 1e6:.0f}")
        self.calls.open = False
        await self.audiosocket.drain(self._server.drain_timeout)
        await self._close(until_s - time.monotonic())
        log.info("stopped")

    async def _close(self, timeout_s: float = 0.0) -> None:
        await self.audiosocket.close()
        close_s = max(timeout_s / 2, HTTP_CLOSE_S)
        doors = [door.close(close_s) for door in (self._http, self.wyoming) if door is not None]
        await asyncio.gather(*doors)
        for task in (self._first_words.late, self._spool_watch, self._garbage):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._reloads.close(0)
        await self.services.close()
        if self.membership is not None:
            await self.membership.close()
        await self.traces.close()
        await self.engine.close()

    def _take_call(self, call_id: UUID, wire: Wire) -> Call:
        """Sets up the call of a connection, from its admission to its greeting. Raises CallRefused."""
        fetched = self.membership.arrivals.memory(call_id) if self.membership is not None else None
        variables = self.calls.admit(call_id)
        self._first_words.say_late()
        earlier, brief_of = (self.calls.named(variables, name) for name in (CONTINUES, BRIEF_OF))
        agent = self.services.choose(variables)
        apology, normalize = self._first_words.apology, self._settings.speech.text_normalize
        call = Call(call_id, wire, self.engine, agent.style, apology=apology, normalize=normalize)
        self.metrics.call_started(call)
        log.info("call started", call=str(call_id), agent=agent.name)
        if brief_of is not None:
            self.calls.add(self.services.begin_brief(call, variables, agent, brief_of))
        else:
            memory = earlier.memory() if earlier is not None else fetched
            self.calls.add(talk := self.services.begin(call, variables, agent, memory))
            if self.membership is not None:
                self.membership.keeper.keep(talk)
        return call

    def _note_lateness(self, late_s: float) -> None:
        self.metrics.lateness.observe(late_s)
        self.call_limit.note(late_s)

    def _health(self) -> dict[str, int | bool]:
        return {
            "calls": len(self.calls),
            "max_calls": self._server.max_calls,
            "overloaded": self.call_limit.is_reached(len(self.calls)),
        }

    def _web_app(self) -> web.Application:
        app = web.Application(client_max_size=self._settings.voices.max_upload_bytes + FORM_BYTES)
        settings, hosts = self._settings, (self._server.http_host, *self._settings.cluster.hosts)
        registry = self.metrics.registry
        self._speech = add_speech_routes(app, self.engine, settings.speech, settings.voices, registry, hosts)
        self._speech.lexicon = self.services.agents.lexicon
        self._add_call_routes(app)
        if self.membership is not None:
            add_elsewhere(app, self.membership.shared, lambda call_id: self.calls.find(call_id) is not None)
            watch_redis(app, self.membership.shared, registry)
        app[HEALTH].append(self._health)
        return app

    def _add_call_routes(self, app: web.Application) -> None:
        connection_of = partial(WebSocketConnection, self.audiosocket)
        add_call_routes(app, self.calls, self.outbound, self.services, connection_of)
        if self.membership is not None:
            app[SHARED] = self.membership.shared
        if api_key := self._settings.speech.api_key.get_secret_value():
            take_call_tokens(app, api_key)
            if self._server.console:
                self._add_console(app, api_key)

    def _add_console(self, app: web.Application, api_key: str) -> None:
        add_console(app, api_key, Rights.of(self._server), lambda: self.services.agents.record_folders)


def log_ready(server: ServerSettings, audiosocket_port: int, http_port: int, engine: Engine) -> None:
    """Logs where the server listens, once it does."""
    log.info(
        "ready",
        audiosocket=f"{server.audiosocket_host}:{audiosocket_port}",
        http=f"http://{server.http_host}:{http_port}",
        engine=engine.name,
    )


def warn_of_root() -> None:
    """Logs a warning if this process runs as root."""
    if os.geteuid() == 0:
        log.warning("running as root", advice="give the server a user of its own: docs/operations.md")


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises SpeechError or OSError if it cannot start."""
    engine = create_engine(settings.engine, settings.qwen, settings.voices, settings.speech.request_timeout)
    app = App(settings, engine)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await app.start()
    log_ready(settings.server, app.audiosocket_port, app.http_port, engine)
    loop.add_signal_handler(signal.SIGHUP, app.reload)
    loop.add_signal_handler(signal.SIGUSR2, log.warning, "SIGUSR2 replaces workers, and WORKERS=1 has none")
    warn_of_root()
    try:
        await stop.wait()
    finally:
        await app.stop()


__all__ = ["App", "SpeechError", "serve"]
