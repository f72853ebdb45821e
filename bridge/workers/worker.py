"""A worker: a process that carries calls for the supervisor that started it: python -m bridge.workers.worker

It is the whole server but for what the supervisor has: the engine is at the other end of a link, the calls' connections
come over the control socket, and the HTTP requests about calls over a Unix socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from bridge.app import CLOSE_S, App, SpeechError
from bridge.config import Settings, WrongSetting, load_settings
from bridge.console import Rights, take_console_cookies
from bridge.http.server import HttpServer
from bridge.logs import set_up_logs
from bridge.masking import Masker, secrets_of
from bridge.workers.arriving import take
from bridge.workers.control import ANNOUNCED, Control, Message
from engine.link.client import LinkedEngine
from engine.web.access import add_access_checks

log = structlog.get_logger(__name__)

REPORT_EVERY_S: Final = 0.25
"""How often the supervisor is told how many calls there are, by the calls' clock: it shows that it runs. A change is
told with the next tick."""
LINGER_S: Final = 10.0
"""How long a worker that drains stays after it was told to, or after its last call: the dialplan asks where that goes
on."""
ANNOUNCEMENT: Final = ("POST", "/v1/calls")
"""The request that tells of a call before it connects."""
REMOTE: Final = "X-Talkspurt-Remote"
"""The header in which the supervisor tells whose request it forwards. What a client sends under this name is lost."""


class WorkerApp(App):
    """What a worker runs."""

    def __init__(self, settings: Settings, engine: LinkedEngine, control: socket.socket, http_path: Path) -> None:
        super().__init__(settings, engine)
        self.done = asyncio.Event()
        """Set when the worker is to end: it was told to, its last call has ended, or its supervisor is gone."""
        self._notify = None  # the supervisor speaks with systemd
        self._http_path = http_path
        self._received = 0
        """The connections that were handed over so far, but for those of calls that were announced here."""
        self._coming: set[UUID] = set()
        """Calls whose places are held though their connections are here: they count as connections."""
        self._answered = 0
        """The announcements that were answered so far."""
        self._arriving = 0
        """Those of them that the server has not got yet."""
        self._takings: set[asyncio.Task[None]] = set()
        self._draining = False
        self._busy_at_s = time.monotonic()
        """When there last was a call, or one announced."""
        self._look_at_s = 0.0
        """When it is to be reported next and looked whether there still are calls."""
        self._reported = (0, 0)
        self._control = Control(control, self._told, self.done.set)

    async def _listen(self, http: HttpServer) -> None:
        await http.start_locally(self._http_path)
        self.audiosocket.start_clock()
        self.audiosocket.tick(self._tick)

    def tell_ready(self) -> None:
        """Tells the supervisor that calls may come."""
        self._control.send({"ready": True})

    def tell_failed(self, reason: str) -> None:
        """Tells the supervisor that no calls can come."""
        self._control.send({"failed": reason})

    def tell_ending(self) -> None:
        """Tells the supervisor how long this may take to end: meanwhile the calls' clock stops."""
        self._control.send({"ending": self._server.drain_timeout + CLOSE_S})

    def _web_app(self) -> web.Application:
        app = web.Application()
        speech = self._settings.speech
        app.middlewares.extend((name_remote, self._count_announcement))
        # The supervisor has checked the host, for only it knows the address at which it was reached.
        add_access_checks(app, speech.api_key.get_secret_value(), speech.origins(), hosts=("*",))
        self._add_call_routes(app)
        return app

    def _add_console(self, app: web.Application, api_key: str) -> None:
        """Takes the console's cookie; the supervisor serves the page."""
        take_console_cookies(app, api_key, Rights.of(self._server))

    def _told(self, message: Message, descriptor: int | None) -> None:
        self.calls.elsewhere = message.get("elsewhere", self.calls.elsewhere)
        if descriptor is not None:
            if ANNOUNCED in message:
                self._coming.add(UUID(message[ANNOUNCED]))
            else:
                self._received += 1
            self._arriving += 1
            self._busy_at_s = time.monotonic()
            accepted = socket.socket(fileno=descriptor)
            accepted.setblocking(False)
            task = asyncio.create_task(take(self.audiosocket, accepted, message, self._arrived))
            self._takings.add(task)
            task.add_done_callback(self._takings.discard)
            self._report()
        match message.get("do"):
            case "reload":
                self.reload()
            case "drain":
                self._draining = True
                self._busy_at_s = time.monotonic()  # a call may be on its way here
            case "stop":
                self.done.set()

    @web.middleware
    async def _count_announcement(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Has the supervisor know which announcements are among the calls that it is told of, and which not yet."""
        try:
            return await handler(request)
        finally:
            if (request.method, request.path) == ANNOUNCEMENT:
                self._answered += 1
                self._report()

    def _tick(self, now_s: float) -> None:
        if self._counts() != self._reported:
            self._report()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + REPORT_EVERY_S
        self._report()
        self.metrics.missed.set(self.audiosocket.clock.missed_ticks)
        if self._load() or len(self.calls.registrations) or len(self.outbound):
            self._busy_at_s = now_s
        elif self._draining and now_s - self._busy_at_s >= LINGER_S:
            self.done.set()

    def _load(self) -> int:
        return len(self.audiosocket.connections) + self._arriving

    def _arrived(self) -> None:
        self._arriving -= 1

    def _counts(self) -> tuple[int, int]:
        registrations = self.calls.registrations
        self._coming = {call_id for call_id in self._coming if registrations.holds_place(call_id)}
        return self._load(), registrations.reserved() - len(self._coming)

    def _report(self) -> None:
        self._reported = calls, announced = self._counts()
        told = {"calls": calls, "announced": announced, "received": self._received, "answered": self._answered}
        self._control.send({**told, "overloaded": self.call_limit.is_reached(calls + announced)})


@web.middleware
async def name_remote(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Has requests come from whom they came from before they were forwarded."""
    return await handler(request.clone(remote=request.headers.get(REMOTE, "")))


async def work(settings: Settings, control: socket.socket, engine: socket.socket, http_path: Path) -> int:
    """Carries calls until it is told to end. Returns the exit status."""
    app = WorkerApp(settings, LinkedEngine(engine), control, http_path)
    try:
        await app.start()
    except (SpeechError, OSError) as error:
        app.tell_failed(str(error))
        return 1
    app.tell_ready()
    try:
        await app.done.wait()
    finally:
        app.tell_ending()
        await app.stop()
    return 0


def main(argv: list[str]) -> int:
    """Runs a worker: `argv` has the descriptors of control socket and engine's link, and the path for HTTP."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):  # the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    control, engine = (socket.socket(fileno=int(descriptor)) for descriptor in argv[:2])
    try:
        settings = load_settings()
    except WrongSetting as error:
        print(error, file=sys.stderr)
        return 2
    set_up_logs(settings.server.log_format, settings.server.log_level, Masker(secrets_of(settings.values())))
    structlog.contextvars.bind_contextvars(worker=os.getpid())
    return asyncio.run(work(settings, control, engine, Path(argv[2])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
