"""Measures what the link to a replica costs a bridge: python -m benchmarks.replica_link

A replica of its own process sends 80 ms of sound every 80 ms to each of so many calls. The table has this process's CPU
time for a chunk, from the socket to the hands of the pipeline, and the share of a core that all calls take together.
Then sentences are asked for one after the other, of the same engine in this process and over the link: the time to the
first sound, and how much later it comes over the link.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from benchmarks.machine import facts
from benchmarks.replica_link_server import AT_ONCE, CHUNK_S, PacedEngine
from benchmarks.table import markdown
from engine.replicas.address import Address
from engine.replicas.engine import ReplicasEngine
from engine.speech import Engine, Style
from tests.support.certificate import make_certificate
from tests.support.replica_process import ReplicaProcess

GOAL_US = 15.0
GOAL_LATER_MS = 2.0
SETTLE_S = 1.0
ASKED = 500
PAUSE_S = 0.005
TOKEN = "a token of some length"


@asynccontextmanager
async def replica(folder: Path, tls: bool) -> AsyncIterator[ReplicasEngine]:
    """A replica of its own process, spoken with from here."""
    settings, certificate, host = {"ENGINE_TOKEN": TOKEN}, None, "127.0.0.1"
    if tls:
        certificate, key = make_certificate(folder)
        settings |= {"ENGINE_TLS_CERT": str(certificate), "ENGINE_TLS_KEY": str(key)}
        host = "localhost"
    process = ReplicaProcess(folder, f"tls {tls}", module="benchmarks.replica_link_server", **settings)
    process.begin()
    try:
        await asyncio.to_thread(process.ready)
        engine = ReplicasEngine([Address(host, process.port, tls)], TOKEN, certificate)
        await engine.start()
        yield engine
        await engine.close()
    finally:
        process.kill()


class Listeners:
    """Calls that take their sound, each begun at a moment of its own."""

    def __init__(self, engine: Engine) -> None:
        self.chunks = 0
        """Those that came."""
        self._engine = engine

    async def listen(self, call: int, chunks: int) -> None:
        await asyncio.sleep(call * 0.000_61 % CHUNK_S)
        async for _ in self._engine.stream(str(chunks), Style(listener=str(call))):
            self.chunks += 1


async def cost_us(engine: Engine, calls: int, seconds: float) -> tuple[float, float, float]:
    """Returns the CPU time of a chunk in microseconds, the share of a core that all calls take, and what share of the
    chunks that were due has come."""
    listeners, chunks = Listeners(engine), round((SETTLE_S + seconds + 1) / CHUNK_S)
    tasks = [asyncio.create_task(listeners.listen(call, chunks)) for call in range(calls)]
    await asyncio.sleep(SETTLE_S)
    before_s, begun_s, before = time.process_time(), time.monotonic(), listeners.chunks
    await asyncio.sleep(seconds)
    used_s, passed_s, came = time.process_time() - before_s, time.monotonic() - begun_s, listeners.chunks - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used_s / came * 1e6, used_s / passed_s, came / (calls * passed_s / CHUNK_S)


async def first_sound_ms(engine: Engine) -> list[float]:
    """Returns how long the first sound of each of many sentences takes."""
    taken_ms = []
    for _ in range(ASKED):
        begun_s = time.perf_counter()
        async for _ in engine.stream(AT_ONCE, Style(listener="call")):
            taken_ms.append((time.perf_counter() - begun_s) * 1e3)
            break
        await asyncio.sleep(PAUSE_S)
    return taken_ms


async def run(args: argparse.Namespace) -> bool:
    """Measures and prints. Tells whether the goals were reached."""
    costs = [("link", "calls", "µs a chunk", "share of a core", "chunks in time")]
    sounds = [("engine", "p50 ms", "p99 ms", "later at p50", "later at p99")]
    near = np.percentile(await first_sound_ms(PacedEngine()), (50, 99))
    sounds.append(("in this process", *(f"{value:.2f}" for value in near), "–", "–"))
    reached = True
    with tempfile.TemporaryDirectory() as folder:
        for tls in (False, True):
            name = "TCP with TLS" if tls else "TCP"
            async with replica(Path(folder), tls) as engine:
                far = np.percentile(await first_sound_ms(engine), (50, 99))
                sounds.append((name, *(f"{v:.2f}" for v in far), *(f"{v:.2f}" for v in far - near)))
                for calls in args.calls:
                    us, share, came = await cost_us(engine, calls, args.seconds)
                    costs.append((name, str(calls), f"{us:.1f}", f"{share:.1%}", f"{came:.1%}"))
                    reached &= tls or us <= GOAL_US
            reached &= tls or bool(far[0] - near[0] <= GOAL_LATER_MS)
    print(markdown([("", ""), *facts()]), markdown(costs), markdown(sounds), sep="\n\n")
    return reached


def main() -> int:
    """Runs the benchmark. Returns 1 where a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="+", default=[100, 500, 1000], help="calls at once")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load is measured")
    args = parser.parse_args()
    reached = asyncio.run(run(args))
    print(f"\ngoals (TCP): {GOAL_US:g} µs a chunk, {GOAL_LATER_MS:g} ms later:", "reached" if reached else "missed")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
