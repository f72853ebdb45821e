"""Sends a server more conversing callers than it carries: python -m benchmarks.overload [--calls 120] [--every 0.5]

The server has one core, or `--cpu` of one; callers, recogniser and model have the others. A caller comes every
`--every` seconds, announced over HTTP as a dialplan does, each second one only where it connects; it talks with the
agent for `--stays` seconds. Those that are refused go to a human and do not come again. After `--calls` callers nobody
comes any more. The table tells, for each few seconds: the calls in progress, the callers that came and that were
refused, for how long `/health` said `overloaded`, the share of the moments at which frames were late by a whole one (by
the server's own clock), the frames that were silent for want of speech, and the share of all due frames that came.

`--cpu 0.1` gives the server so much of a core, by a control group (version 1) that is made in `--group` and removed
again. So a machine that others use too shows an overload with few callers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

import aiohttp
import numpy as np
import psutil
import uvloop

from benchmarks.gpu_replicas import on_cores
from benchmarks.host import Services
from benchmarks.host_callers import SAID_LEVEL, SAID_S, Found, Plan, line
from benchmarks.machine import facts
from benchmarks.overload_table import Heard, Seen, Told, table
from benchmarks.table import markdown
from bridge.converse.server_process import ServerProcess, running_server
from bridge.dial.caller import Caller
from bridge.line.clock import TICK_S
from engine.speech import Pcm

LOOK_S: Final = 0.5
LATENESS: Final = re.compile(r'^talkspurt_clock_lateness_seconds_bucket{le="([^"]+)"} (\S+)', re.M)
SILENT: Final = re.compile(r"^talkspurt_underrun_frames_total (\S+)", re.M)
DIALPLAN_S: Final = 2.0
"""How long the dialplan waits for an answer when it announces a call (httptimeout)."""
PERIOD_US: Final = 5_000
"""A group's time is given out so often: within a frame of 20 ms, so that what has enough of it is not late."""
GROUPS: Final = Path("/sys/fs/cgroup/cpu")
REST_S: Final = 10.0
"""After the last caller has left."""


@contextmanager
def limited(pid: int, share: float, groups: Path) -> Iterator[None]:
    """A process and its children have so much of a core; all of one where `share` is 0."""
    if not share:
        yield
        return
    group = groups / f"overload-{pid}"
    group.mkdir()
    (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (group / "cpu.cfs_quota_us").write_text(str(max(1_000, round(share * PERIOD_US))))
    for each in (process := psutil.Process(pid), *process.children(recursive=True)):
        (group / "cgroup.procs").write_text(str(each.pid))
    try:
        yield
    finally:
        for each in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (groups / "cgroup.procs").write_text(each)
        group.rmdir()


async def announced(http: aiohttp.ClientSession, caller: Caller) -> bool:
    """Announces a call as a dialplan does. Tells whether the server takes it; one that does not answer does not."""
    try:
        async with http.post("/v1/calls", json={"id": str(caller.id)}) as response:
            if response.status == 503:
                return False
            response.raise_for_status()
            return True
    except (TimeoutError, aiohttp.ClientConnectionError):
        return False


async def known(http: aiohttp.ClientSession, caller: Caller) -> bool:
    """Tells whether the server has made a call of this connection, where it can still be asked."""
    try:
        async with http.get(f"/v1/calls/{caller.id}") as response:
            return response.status != 404
    except (TimeoutError, aiohttp.ClientConnectionError):
        return True


async def call(
    server: ServerProcess, http: aiohttp.ClientSession, seen: Seen, stays_s: float, said: Pcm, *, announce: bool
) -> Caller | None:
    """One caller, from the dialplan on. Returns it where its call was taken."""

    def now() -> int:
        return int(time.monotonic() - seen.began_s)

    seen.came[now()] += 1
    caller = Caller(call_id=uuid4())
    if announce and not await announced(http, caller):
        seen.refused[now()] += 1
        return None
    begin_s = time.monotonic()
    plan = Plan(server.host, server.port, 1, begin_s, begin_s, begin_s, begin_s + stays_s, 0, "")
    await line(caller, plan, begin_s, Random(caller.id.int), said, Found())
    if not caller.connected:
        seen.unreached[now()] += 1
        return None
    # Until a call's id has come its connection is sent silence, so a refused caller may have heard some frames.
    by_server = caller.by_server or caller.ended.is_set()
    taken = await known(http, caller) if by_server else True
    if by_server:
        (seen.cut if taken else seen.closed)[now()] += 1
    caller.hang_up()
    await caller.ended.wait()
    received = caller.received
    if not taken or not len(received):
        return None
    over_s = min(each for each in (caller.hung_up_s, caller.closed_s) if each is not None)
    begun_s = seen.began_s
    seen.heard.append(Heard(caller.first_sent_s - begun_s, over_s - begun_s, received.arrivals_s - begun_s))
    return caller


async def watch(http: aiohttp.ClientSession, seen: Seen) -> None:
    """Notes the calls in progress, whether the server takes more, and how late its clock is."""
    while True:
        with suppress(TimeoutError, aiohttp.ClientConnectionError):  # it is too busy
            async with http.get("/health") as response:
                health = await response.json()
            async with http.get("/metrics") as response:
                text, at_s = await response.text(), time.monotonic() - seen.began_s
            moments, silent = dict(LATENESS.findall(text)), SILENT.search(text)
            assert silent is not None
            seen.told.append(
                Told(
                    *(at_s, health["calls"], health["overloaded"]),
                    *(float(moments[name]) for name in ("+Inf", f"{TICK_S:g}")),
                    float(silent[1]),
                )
            )
        await asyncio.sleep(LOOK_S)


async def drive(server: ServerProcess, args: argparse.Namespace) -> tuple[Seen, list[Caller], bool]:
    """Has all callers come, and waits until the last one has left. Tells too whether one more is taken then."""
    noise = np.random.default_rng(0).normal(0, SAID_LEVEL, round(SAID_S * 8_000))
    said = noise.clip(-32768, 32767).astype(np.int16)
    timeout = aiohttp.ClientTimeout(total=DIALPLAN_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.http_url, timeout=timeout, connector=connector) as http:
        seen = Seen(time.monotonic())
        watching = asyncio.create_task(watch(http, seen))
        callers: list[asyncio.Task[Caller | None]] = []
        for number in range(args.calls):
            calling = call(server, http, seen, args.stays, said, announce=number % 2 == 0)
            callers.append(asyncio.create_task(calling))
            await asyncio.sleep(seen.began_s + (number + 1) * args.every - time.monotonic())
        taken = [caller for caller in await asyncio.gather(*callers) if caller is not None]
        await asyncio.sleep(REST_S)
        if watching.done():
            watching.result()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return seen, taken, await announced(http, Caller())


async def run(args: argparse.Namespace) -> None:
    """Overloads a server, and prints what happened."""
    print(markdown([("machine", ""), *facts()]), flush=True)
    cores = sorted(os.sched_getaffinity(0))
    others = cores[1:] or cores
    async with Services(1, others) as these:
        settings = {"MAX_CALLS": "500", "GREETING": "Hello, how can I help you?", "NO_INPUT_TIMEOUT_MS": "0"}
        settings |= {"ASR_PROTOCOL": "deepgram", "ASR_MODEL": "flux", "LLM_MODEL": "host"}
        settings |= {"ASR_URL": f"ws://127.0.0.1:{these.port}", "LLM_BASE_URL": f"http://127.0.0.1:{these.port}/v1"}
        with on_cores(cores[:1]):
            starting = running_server(module="benchmarks.workers_server", **settings)
            server = await starting.__aenter__()
        try:
            with limited(server.pid, args.cpu, args.group), on_cores(others):
                seen, callers, one_more = await drive(server, args)
        finally:
            await starting.__aexit__(None, None, None)
    own_late_ms = max((caller.late_s for caller in callers), default=0.0) * 1000
    print(f"\n{table(seen, args.step)}\n\nthe callers' own frames left {own_late_ms:.0f} ms late at most")
    print(f"one more caller, after all have left, is {'taken' if one_more else 'refused'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=240, help="callers that come")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two of them")
    parser.add_argument("--stays", type=float, default=60.0, help="seconds that each talks")
    parser.add_argument("--step", type=int, default=5, help="seconds in a row of the table")
    parser.add_argument("--cpu", type=float, default=0.0, help="how much of a core the server has (default: all of it)")
    parser.add_argument("--group", type=Path, default=GROUPS, help="the control group in which one for it is made")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
