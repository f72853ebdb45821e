"""Conversations for hours, while every neighbour fails again and again: python -m benchmarks.soak --hours 1

A hundred callers at once talk with an agent, interrupt it, press keys, are transferred, hang up, vanish, and call anew.
The language model, the recogniser and the web-hook's receiver are behind networks that reset, stop, delay and garble;
the engine's process is killed. At the end everything that was taken has to be given back. Prints a table and draws a
picture.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp
import numpy as np
import psutil
from py_nanotts import NanoTTS

from benchmarks.machine import facts
from benchmarks.soak_neighbours import Neighbours, neighbours
from benchmarks.soak_sipp import sipp_calls
from benchmarks.soak_watch import MIB, ClockLateness, Minute, Samples
from benchmarks.table import markdown
from bridge.converse.server_process import ServerProcess, running_server
from bridge.dial.caller import Caller, CannotCall
from bridge.dial.lateness import lateness_ms
from engine.audio import resample
from engine.speech import Pcm

LOOK_S: Final = 5.0
MINUTE_LOOKS: Final = 12
"""Every so many looks have the server collect first: once a minute, because each makes a frame late."""
REST_S: Final = 45.0
"""After the last call: web-hooks are tried so long."""
LAST_CALL_S: Final = 8.0
LAST_CALL_TRIES: Final = 10
WARM_UP_SHARE: Final = 0.2
GOAL_MB_H: Final = 1.0
SPREAD_S: Final = 10.0
"""The first calls come within this time."""
TEXTS: Final = ("Where is my parcel?", "No, wait a moment.", "How much is it?", "Thank you, that is all.")


class Soak:
    """All that goes on at once."""

    def __init__(self, these: Neighbours, chance: Random, sounds: list[tuple[str, Pcm]]) -> None:
        self.counts: Counter[str] = Counter()
        self.late_ms: list[np.ndarray[Any, Any]] = []
        """Of the calls that ended since the last look."""
        self.all_late_ms: list[np.ndarray[Any, Any]] = []
        self.over = False
        self.broken: list[str] = []
        """Errors of ours, which end a soak badly: callers or neighbours that did not do what they should."""
        self._these = these
        self._chance = chance
        self._sounds = sounds

    async def line(self, server: ServerProcess) -> None:
        """One telephone: a call after the other until the soak is over."""
        await asyncio.sleep(self._chance.uniform(0.0, SPREAD_S))
        while not self.over:
            caller = Caller()
            try:
                await caller.connect(server.host, server.port)
            except CannotCall:
                self.counts["not connected"] += 1
                await asyncio.sleep(1.0)
                continue
            self.counts["calls"] += 1
            try:
                await self._converse(caller)
            except Exception as error:
                self.broken.append(f"a caller: {error!r}")
                caller.hang_up()
            self._note(caller)
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))

    async def last_call(self, server: ServerProcess) -> None:
        """Asks once more: the model's client closes the connections that it has kept too long when it is asked next."""
        caller = await self._connected(server)
        if caller is None:
            self.broken.append("the last call: the server does not take it")
            return
        self._speak(caller)
        await _unless_over(caller, LAST_CALL_S)
        caller.hang_up()
        await caller.ended.wait()
        await asyncio.sleep(LAST_CALL_S)

    async def _connected(self, server: ServerProcess) -> Caller | None:
        """Returns a caller who is connected; None where the server takes nobody, as on a machine that has no time."""
        for _ in range(LAST_CALL_TRIES):
            caller = Caller()
            try:
                await caller.connect(server.host, server.port)
            except CannotCall:
                await asyncio.sleep(1.0)
            else:
                return caller
        return None

    async def _converse(self, caller: Caller) -> None:
        """Talks until the caller has had enough, or the agent ends the call."""
        chance, until_s = self._chance, time.monotonic() + self._chance.uniform(5.0, 60.0)
        while not caller.ended.is_set() and time.monotonic() < until_s and not self.over:
            await _unless_over(caller, chance.uniform(0.5, 6.0))
            if caller.ended.is_set():
                break
            match chance.choice(("speaks", "speaks", "speaks", "barges in", "presses a key", "is silent")):
                case "barges in":
                    self.counts["barge-ins"] += 1
                    with suppress(EOFError, TimeoutError):
                        await asyncio.wait_for(caller.voice(time.monotonic()), 5.0)
                        self._speak(caller)
                case "speaks":
                    self.counts["utterances"] += 1
                    self._speak(caller)
                case "presses a key":
                    self.counts["keys"] += 1
                    caller.handset.press(chance.choice("0123456789*#"))
        if caller.by_server:
            self.counts["ended by the agent"] += 1
        elif not caller.ended.is_set():
            self.counts["hung up"] += 1
            caller.hang_up()
        await caller.ended.wait()

    def _speak(self, caller: Caller) -> None:
        text, pcm = self._chance.choice(self._sounds)
        start_s, end_s = caller.speak(pcm)
        self._these.recogniser.call(str(caller.id)).tell(text, start_s, end_s)

    def _note(self, caller: Caller) -> None:
        received = caller.received
        if len(received) > 1:
            late = lateness_ms(received.arrivals_s, received.positions_s)
            self.late_ms.append(late)
        self.counts[f"closed: {caller.close}"] += 1

    def p999_ms(self) -> float:
        """Returns p99.9 of the lateness since the last time."""
        taken, self.late_ms = self.late_ms, []
        self.all_late_ms += taken
        return float(np.percentile(np.concatenate(taken), 99.9)) if taken else float("nan")


def _spoken(text: str) -> Pcm:
    """Returns a text as a caller says it, without silence before it."""
    pcm = np.frombuffer(NanoTTS().speak(text, voice="en-US", volume=0.4), np.int16)
    voiced = np.flatnonzero(np.abs(pcm) > 200)
    return resample(pcm[voiced[0] : voiced[-1]], 16_000, 8_000)


async def _unless_over(caller: Caller, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(caller.ended.wait(), seconds)


async def _look(server: ServerProcess, http: aiohttp.ClientSession, samples: Samples, began_s: float) -> None:
    process = psutil.Process(server.pid)
    async with http.get("/health") as response:
        health = await response.json()
    family = 0
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            family += child.memory_info().rss
    own = process.memory_info().rss
    samples.at_s.append(time.monotonic() - began_s)
    samples.memory_bytes.append(own)
    samples.family_bytes.append(own + family)
    samples.calls.append(health["calls"])
    samples.descriptors.append(process.num_fds())


async def _minute(
    soak: Soak, server: ServerProcess, http: aiohttp.ClientSession, began_s: float, clock: ClockLateness | None
) -> Minute:
    if clock is None:
        p999_ms = soak.p999_ms()
    else:
        async with http.get("/metrics") as response:
            p999_ms = clock.p999_ms(await response.text())
    await _held(http)
    return Minute(time.monotonic() - began_s, psutil.Process(server.pid).memory_info().rss, p999_ms)


async def _held(http: aiohttp.ClientSession) -> dict[str, int]:
    async with http.get("/held") as response:
        held: dict[str, int] = await response.json()
        return held


async def run(args: argparse.Namespace) -> bool:
    """Soaks, prints and draws. Returns whether all was given back."""
    seconds, chance = args.hours * 3_600 + args.minutes * 60, Random(args.seed)
    samples, about = Samples(), facts()
    async with AsyncExitStack() as stack:
        sounds = [(text, _spoken(text)) for text in TEXTS]
        these = await stack.enter_async_context(neighbours(chance))
        settings = {"ENGINE": "hibari", "MAX_CALLS": str(args.calls + 10), "GREETING": "Hello, how can I help you?"}
        server = await stack.enter_async_context(
            running_server(module="benchmarks.soak_server", **settings | these.settings)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession(server.http_url))
        before = await _held(http)
        soak, began_s = Soak(these, chance, sounds), time.monotonic()
        calling, clock = AsyncExitStack(), ClockLateness() if args.sipp else None
        lines: list[asyncio.Task[None]] = []
        if args.sipp:
            (these.words, said), *_ = sounds
            these.words_s = said.size / 8_000
            await calling.enter_async_context(sipp_calls(server, args.calls, seconds, said))
        else:
            lines = [asyncio.create_task(soak.line(server)) for _ in range(args.calls)]
        illness = asyncio.create_task(these.fall_ill(psutil.Process(server.pid)))
        while time.monotonic() < began_s + seconds:
            await asyncio.sleep(min(LOOK_S, seconds))
            await _look(server, http, samples, began_s)
            if len(samples.at_s) % MINUTE_LOOKS == 0:
                samples.minutes.append(await _minute(soak, server, http, began_s, clock))
        soak.over = True
        illness.cancel()
        (ended,) = await asyncio.gather(illness, return_exceptions=True)
        if not isinstance(ended, asyncio.CancelledError):
            soak.broken.append(f"the neighbours' illness: {ended!r}")
        await asyncio.gather(*lines)
        await calling.aclose()
        await asyncio.sleep(REST_S)
        await soak.last_call(server)
        soak.p999_ms()
        after, kept = await _held(http), these.connections_of(server.pid)
    return _report(args, about, samples, soak, these, before, after, kept)


def _report(
    args: argparse.Namespace,
    about: list[tuple[str, str]],
    samples: Samples,
    soak: Soak,
    these: Neighbours,
    before: dict[str, int],
    after: dict[str, int],
    kept: Counter[str],
) -> bool:
    warm_up_s = samples.at_s[-1] * WARM_UP_SHARE
    slope = samples.slope_mb_h(warm_up_s)
    lateness = []
    if soak.all_late_ms:
        late_ms = np.concatenate(soak.all_late_ms)
        p50, p99, p999 = np.percentile(late_ms, (50, 99, 99.9))
        lateness = [
            ("frames", f"{late_ms.size:,}"),
            ("lateness p50, p99, p99.9, ms", f"{p50:.2f}, {p99:.2f}, {p999:.2f}"),
        ]
    rows = [
        ("", ""),
        *about,
        ("calls at once", str(args.calls)),
        *((name, f"{count:,}") for name, count in sorted(soak.counts.items())),
        ("faults", f"{sum(these.faults.values()):,}"),
        *((f"web-hook: {name}", f"{count:,}") for name, count in sorted(these.events.items())),
        *((f"fault: {name}", f"{count:,}") for name, count in sorted(these.faults.items())),
        *lateness,
        ("frames of silence inside speech", f"{these.underruns:,}"),
        ("p99.9 of each minute, ms", " ".join(f"{minute.p999_ms:.1f}" for minute in samples.minutes)),
        ("p99.9 grows by, ms an hour", f"{samples.lateness_slope_ms_h(warm_up_s):.2f}"),
        ("memory each minute, MiB", " ".join(f"{minute.memory_bytes / MIB:.0f}" for minute in samples.minutes)),
        ("memory grows by, MiB an hour", f"{slope:.2f} (goal {GOAL_MB_H:.0f})"),
        *((f"{name} before, after", f"{before[name]:,}, {after[name]:,}") for name in before),
        *((f"connections kept with the {name}", f"{count:,}") for name, count in sorted(kept.items())),
    ]
    print(markdown(rows))
    samples.plot(args.plot, f"{args.calls} conversations at once, {sum(these.faults.values())} faults")
    slack = SLACK | {"sockets": SLACK["sockets"] + min(kept.total(), MAX_KEPT)}
    left = [name for name in slack if after[name] > before[name] + slack[name]]
    print(f"\nleft over: {', '.join(left) or 'nothing'}")
    for error in soak.broken:
        print(f"broken: {error}")
    return not (left or soak.broken)


MAX_KEPT: Final = 8
"""How many connections with neighbours may be kept for the next call; more are left over."""
SLACK: Final = {
    "tasks": 2,
    "threads": 8,
    "sockets": 1,
    "files and pipes": 0,
    "ticks on the clock": 0,
    "sentences in the engine": 0,
}
"""What may be more afterwards: threads that wait for work, and what serves the request that counts. Connections that
are kept for the next call may be more too; they are told neighbour by neighbour."""


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--sipp", action="store_true", help="through a real Asterisk, which SIPp calls; needs sipp")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, default=Path("soak.png"))
    raise SystemExit(0 if asyncio.run(run(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
