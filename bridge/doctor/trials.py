"""Trial calls through Asterisk's own dialplan, to throw-away servers that fail: does the caller come to the fallback?

A context of its own is added to the running dialplan, and removed again. The calls of customers are not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

from aiohttp import web

from bridge.doctor.asterisk import AsteriskCli, NoAsterisk
from bridge.doctor.finding import Finding, advice, ok, wrong
from bridge.doctor.trial_server import Fault, TrialServer

PATIENCE_S: Final = 10.0
"""A caller who hears nothing for longer is lost."""
PRINT_AGAIN: Final = "print the dialplan again: talkspurt dialplan --install\nthen: asterisk -rx 'dialplan reload'"
UNREACHED: Final = (
    "name an address of this machine that Asterisk reaches: AUDIOSOCKET_HOST=… talkspurt doctor --trials\n"
    "a firewall may stand between (the trials use any port); and func_curl.so has to be running"
)
PLACE: Final = "run this on the PBX, as root; asterisk -rx 'module load res_clioriginate.so'"
REMEDIES: Final = {
    Fault.NONE: "a firewall may stand between Asterisk and this machine; see: asterisk -rvvv",
    Fault.HUNG: f"{PRINT_AGAIN}\nwithout --no-watch: a second channel then takes the caller back",
}


class Trials:
    """The trials of one Asterisk. `run` is called once."""

    def __init__(self, asterisk: AsteriskCli, context: str, host: str) -> None:
        """`context` is that of the printed dialplan; Asterisk reaches this process at `host`."""
        self._asterisk = asterisk
        self._tried = f"{context}-server"
        self._context = f"{context}-trials"
        self._host = host
        self._servers = {fault: TrialServer(fault, host) for fault in Fault}
        self._over_s: dict[str, float] = {}
        """When the dialplan went on, by the fault's name."""
        self._is_reached = False
        """Whether Asterisk has found its way to this process."""
        self._changed = asyncio.Event()

    async def run(self) -> list[Finding]:
        """Places all trial calls at once, and returns what came of each."""
        async with AsyncExitStack() as stack:
            for server in self._servers.values():
                await stack.enter_async_context(server.running())
            observer = await self._observe(stack)
            try:
                await asyncio.to_thread(self._add, observer)
                started_s = time.monotonic()
                await asyncio.to_thread(self._originate)
                await self._wait()
            except NoAsterisk as error:
                return [advice(f"no trial call could be placed: {error}", PLACE)]
            finally:
                await asyncio.to_thread(self._remove)
        if not self._is_reached:
            return [wrong(f"trial: Asterisk does not reach {self._host}, where the doctor runs", UNREACHED)]
        return [self._judge(fault, started_s) for fault in Fault]

    async def _observe(self, stack: AsyncExitStack) -> str:
        """Listens for the dialplan, which tells when it goes on; returns where."""
        app = web.Application()
        app.router.add_get("/began", self._began)
        app.router.add_get("/over/{fault}", self._over)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self._host, 0).start()
        return f"{self._host}:{runner.addresses[0][1]}"

    async def _began(self, request: web.Request) -> web.Response:
        self._is_reached = True
        return web.Response(text="ok")

    async def _over(self, request: web.Request) -> web.Response:
        self._over_s.setdefault(request.match_info["fault"], time.monotonic())
        self._changed.set()
        return web.Response(text="ok")

    async def _wait(self) -> None:
        """Waits until all are over, or until a caller would have lost patience."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(self._over_s) < len(Fault):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    def _add(self, observer: str) -> None:
        for fault, server in self._servers.items():
            call_id = uuid4()
            steps = (
                "Answer()",
                f"Set(TS_CALL={call_id})",
                f"Set(TS_ABOUT=id={call_id})",
                "Set(CURLOPT(conntimeout)=1)",
                "Set(CURLOPT(httptimeout)=2)",
                f"Set(TS_BEGAN=${{CURL(http://{observer}/began)}})",
                f"Gosub({self._tried},s,1(http://{server.http},{server.audio}))",
                f"Set(TS_OVER=${{CURL(http://{observer}/over/{fault.name})}})",
                "Hangup()",
            )
            for priority, step in enumerate(steps, 1):
                self._asterisk.run(f"dialplan add extension {fault.name},{priority},{step} into {self._context}")

    def _originate(self) -> None:
        for fault in Fault:
            wait_s = round(PATIENCE_S) + 5
            told = self._asterisk.run(
                f"channel originate Local/{fault.name}@{self._context}/n application Wait {wait_s}"
            )
            if "No such command" in told:
                raise NoAsterisk("res_clioriginate.so is not running")

    def _remove(self) -> None:
        with contextlib.suppress(NoAsterisk):  # it is gone, and the context with it
            self._asterisk.run(f"dialplan remove context {self._context}")

    def _judge(self, fault: Fault, started_s: float) -> Finding:
        server = self._servers[fault]
        over_s = self._over_s.get(fault.name)
        if over_s is None:
            fact = f"trial: where the server {fault}, the caller is alone for {PATIENCE_S:.0f} s and more"
            return wrong(fact, REMEDIES.get(fault, PRINT_AGAIN))
        after_s = over_s - (server.fault_s or started_s)
        if fault is Fault.NONE and not server.taken:
            return wrong("trial: Asterisk did not bring the sound of a call", REMEDIES[fault])
        if fault is Fault.NONE:
            return ok("trial: a call was taken and given back")
        return ok(f"trial: where the server {fault}, the dialplan goes on after {after_s:.1f} s")
