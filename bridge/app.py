"""`talkspurt serve`: runs the engine, the AudioSocket server and the HTTP server in one process until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from bridge.calls_api import add_call_routes, take_call_tokens
from bridge.config import Settings
from bridge.conversation.calls import Calls
from bridge.conversation.registration import Registrations
from bridge.conversation.services import Services
from bridge.http.server import HttpServer
from bridge.line.apology import Apology
from bridge.line.call import Call, Wire
from bridge.line.doorway import raise_descriptor_limit
from bridge.line.server import AudioSocketServer
from bridge.metrics import Metrics
from bridge.outbound.outbound_calls import OutboundCalls
from bridge.service_manager import notifier, watchdog
from engine.api import HEALTH, add_speech_routes
from engine.fallback import FallbackEngine
from engine.registry import create_engine
from engine.speech import Engine, Priority, SpeechError, UnknownVoice, UnspeakableText

log = structlog.get_logger(__name__)

NICENESS: Final = -5
"""The process's niceness: a frame is due every 20 ms, so that it comes before batch work, but behind Asterisk, which
runs at -10 or in real time where it may."""
WARM_UP: Final = "Hello."
FORM_BYTES: Final = 2**20
"""How much a form may hold beside its file."""
CLOSE_S: Final = 15.0
"""How long everything may take to close after DRAIN_TIMEOUT, until systemd ends it."""
HTTP_CLOSE_S: Final = 0.25
"""How long HTTP requests get to end even if calls have used up DRAIN_TIMEOUT."""


@contextlib.contextmanager
def _naming(prefix: str, host: str, port: int) -> Iterator[None]:
    """Names the setting in an error of the system about an address to listen on."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is not None and number > 0:
            reason = os.strerror(number).lower()
        else:
            reason = getattr(error, "strerror", None) or str(error)
        port_is_wrong = number in (errno.EADDRINUSE, errno.EACCES)
        setting = f"{prefix}_PORT={port}" if port_is_wrong else f"{prefix}_HOST={host}"
        raise OSError(f"{setting}: {reason}") from error


class App:
    """Everything that `serve` runs. `start` and then `stop` are called once each."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings, self._server = settings, settings.server
        self._normalize = settings.speech.text_normalize
        self.engine = engine
        self.metrics = Metrics(CollectorRegistry())
        self.calls = Calls(
            settings.server.max_calls,
            Registrations(settings.conversation.registration_ttl),
            require_registration=settings.conversation.require_registration,
        )
        self.services = Services(
            settings.conversation, self.metrics.registry, engine.resolve_voice, realtime=settings.realtime
        )
        self.audiosocket = AudioSocketServer(
            self._take_call,
            self.metrics.lateness.observe,
            max(settings.server.max_calls, settings.server.max_connections),
        )
        self.metrics.missed.set_function(lambda: self.audiosocket.clock.missed_ticks)
        self.audiosocket_port = 0
        self.http_port = 0
        self._style = settings.conversation.style
        self._apology = Apology()
        self._reloads: set[asyncio.Task[None]] = set()
        self._late_apology: asyncio.Task[None] | None = None
        self._http: HttpServer | None = None
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
            self.engine.resolve_voice(self._style.voice)
        except UnknownVoice as error:
            raise SpeechError(f"VOICE={error.voice!r}: must be one of {', '.join(error.known)}") from None
        await self._say_first_words()
        await self.services.start()
        raise_descriptor_limit()
        self._http = HttpServer(self._web_app(), self._server.max_connections)
        host, port = self._server.http_host, self._server.http_port
        with _naming("HTTP", host, port):
            self.http_port = await self._http.start(host, port)
        host, port = self._server.audiosocket_host, self._server.audiosocket_port
        with _naming("AUDIOSOCKET", host, port):
            self.audiosocket_port = await self.audiosocket.start(host, port)
        with contextlib.suppress(OSError):  # needs CAP_SYS_NICE; a machine with time to spare does without
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        self._tell_service_manager()
        gc.collect()
        gc.freeze()  # what was loaded stays; a collection that walked it all would make frames late
        log.info(
            "ready",
            audiosocket=f"{self._server.audiosocket_host}:{self.audiosocket_port}",
            http=f"http://{self._server.http_host}:{self.http_port}",
            engine=self.engine.name,
        )

    def reload(self) -> None:
        """Has the agents read anew; calls in progress keep theirs."""
        task = asyncio.get_running_loop().create_task(self.services.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

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
        if self._http is not None:
            await self._http.close(max(timeout_s / 2, HTTP_CLOSE_S))
        for task in (self._late_apology, *self._reloads):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.services.close()
        await self.engine.close()

    def _take_call(self, call_id: UUID, wire: Wire) -> Call:
        """Sets up the call of a connection, from its admission to its greeting. Raises CallRefused."""
        variables = self.calls.admit(call_id)
        if self._server.apology and not self._apology and self._late_apology is None:
            self._late_apology = asyncio.get_running_loop().create_task(self._make_late_apology())
        agent = self.services.choose(variables)
        call = Call(call_id, wire, self.engine, agent.style, apology=self._apology, normalize=self._normalize)
        self.metrics.call_started(call)
        log.info("call started", call=str(call_id), agent=agent.name)
        self.calls.add(self.services.begin(call, variables, agent))
        return call

    def _web_app(self) -> web.Application:
        app = web.Application(client_max_size=self._settings.voices.max_upload_bytes + FORM_BYTES)
        settings, hosts = self._settings, (self._server.http_host,)
        add_speech_routes(app, self.engine, settings.speech, settings.voices, self.metrics.registry, hosts)
        add_call_routes(app, self.calls, OutboundCalls(self._settings.outbound), self.services)
        if api_key := settings.speech.api_key.get_secret_value():
            take_call_tokens(app, api_key)
        app[HEALTH].append(lambda: {"calls": len(self.calls), "max_calls": self._server.max_calls})
        return app

    async def _say_first_words(self) -> None:
        """Makes the apology, so that whatever loads with the first text does so before the first caller waits for it.

        A model that is to be loaded with the first request is not loaded by this: the embedded voice speaks instead.
        """
        engine, style = self.engine, self._style
        loaded = engine.status().model_loaded
        if not loaded:
            if not isinstance(engine, FallbackEngine):
                return
            style, engine = engine.for_spare(style), engine.spare
        made = self._apology if self._server.apology else Apology()
        text, normalize = self._server.apology or WARM_UP, self._normalize
        try:
            await made.make(engine, text, style, normalize=normalize)
        except UnspeakableText:
            if loaded:
                raise
            # The embedded voice does not speak this language: the apology is made with the first call.

    async def _make_late_apology(self) -> None:
        """Makes the apology during the first call, which loads the model anyway."""
        style = replace(self._style, priority=Priority.BULK)
        try:
            await self._apology.make(self.engine, self._server.apology, style, normalize=self._normalize)
        except SpeechError as error:
            log.error("there is no apology", error=str(error))


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
    loop.add_signal_handler(signal.SIGHUP, app.reload)
    warn_of_root()
    try:
        await stop.wait()
    finally:
        await app.stop()


__all__ = ["App", "SpeechError", "serve"]
