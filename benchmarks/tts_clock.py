"""Measures whether the calls' clock holds beside a Qwen3-TTS engine at full load, in a process and in a thread.

    python -m benchmarks.tts_clock [--calls 16 100 250] [--clients 64] [--size 0.6B] [--ways …] [--no-handover]
                                 [--retry 0.05] [--rounds 1]

Every call speaks without a pause, and HTTP clients in a process of their own ask for speech as fast as they are
answered; sentences are shorter than what the engine makes ahead, so it never has enough and never rests. The checkpoint
is made here, in the true size and the real format, with random weights: speed does not depend on their values.
With LOOP_WATCH=FILE in the environment FILE is told what held the event loop of `serve` (`benchmarks.loop_watch`).
To try it without a GPU: `--device cpu --size tiny --calls 2 --clients 2`, with OMP_NUM_THREADS=1 and, as torchaudio's
wheel does not load beside a CPU torch, PYTHONPATH=$PWD/tests/support/qwen3/stand_ins.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import uvloop

from benchmarks import first_audio, pacing, tts_clock_handover
from benchmarks.machine import Usage, facts
from benchmarks.servers import CLIP_TEXT, Running, health
from benchmarks.table import markdown
from bridge.converse import server_process
from bridge.converse.server_process import ServerProcess, bare_environment, running_server
from bridge.dial.command import CallPlan

CALLS = (16, 100, 250)
SECONDS = 5.0
SETTLE_S = 2.5
"""The time left out after the last call is up: by then all speak, and the rush of first sentences is over."""
LAG_EVERY_S = 0.2
CLIENTS = 64
"""The default of MAX_QUEUE_DEPTH: one client more is refused."""
RETRY_S = 0.05
"""The time after which a client that was refused comes again. It is told a second."""
MAX_POSITIONS = 64
"""The positions that end a sentence after 54 frames, 4.3 s, if it has not ended: the engine makes 4 s ahead."""
START_TIMEOUT_S = 400.0
"""The time for a start; the first one compiles the kernels."""
WAYS = {
    "made": "no GPU work",
    "process, calls alone": "its own process, calls alone",
    "process": "its own process",
    "thread": "a thread of serve",
    "thread, short switch": "a thread, switch interval 0.5 ms",
}
BUILD = """
import sys, torch
from pathlib import Path
from tests.support.qwen3.checkpoints import build_checkpoint
build_checkpoint(Path(sys.argv[1]), "custom_voice", sys.argv[2], device=sys.argv[3], dtype=torch.bfloat16)
"""


@dataclass(slots=True)
class Round:
    """One load in one way."""

    calls: int
    way: str
    clock: pacing.Round
    silent_frames: int
    engine_share: float | None
    """A share of one core; None where the engine has no process of its own."""
    gpu_share: float | None
    http: dict[str, float]
    lag_ms: float | None
    """How long a sound of the engine's lay on its way to `serve`, at most; None where nothing tells."""


HEAD = (
    *("calls", "engine", "p50", "p99", "p99.9", "max", "missing", "silent", "lag, ms", "voiced"),
    *("serve", "engine", "GPU", "HTTP answers/s", "HTTP × realtime", "callers late"),
)


def row(one: Round) -> tuple[str, ...]:
    clock = one.clock
    return (
        str(one.calls),
        WAYS[one.way],
        *(f"{value:.2f}" for value in (clock.p50_ms, clock.p99_ms, clock.p999_ms, clock.max_ms)),
        f"{clock.missing} of {clock.frames + clock.missing:,}",
        str(one.silent_frames),
        "–" if one.lag_ms is None else f"{one.lag_ms:.0f}",
        f"{clock.voiced_share:.0%}",
        f"{clock.server_share:.0%}",
        "–" if one.engine_share is None else f"{one.engine_share:.0%}",
        "–" if one.gpu_share is None else f"{one.gpu_share:.0%}",
        f"{one.http['answers'] / one.http['seconds']:.0f}" if one.http else "–",
        f"{one.http['realtime']:.0f}" if one.http else "–",
        f"{clock.callers_late_ms:.0f} ms",
    )


async def build(folder: Path, size: str, device: str) -> None:
    """Makes the checkpoint in a process of its own, so that its share of the GPU is free afterwards."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BUILD, str(folder), size, device)
    if await process.wait():
        raise RuntimeError("the checkpoint could not be made")


@asynccontextmanager
async def own_server(way: str, settings: dict[str, str]) -> AsyncIterator[ServerProcess]:
    """Run `benchmarks.tts_clock_server` until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.tts_clock_server", way),
        env=bare_environment() | {"AUDIOSOCKET_PORT": "0", "HTTP_PORT": "0"} | settings,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            raise RuntimeError("benchmarks.tts_clock_server did not start")
        yield ServerProcess(process.pid, **json.loads(line))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def http_clients(url: str, clients: int, retry_s: float) -> AsyncIterator[dict[str, float]]:
    """Let clients ask without a rest until the end of the block; then there is what they got."""
    found: dict[str, float] = {}
    if not clients:
        yield found
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.tts_clock_bulk", url, str(clients), str(retry_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    begun_s = time.monotonic()
    try:
        yield found
    finally:
        seconds = time.monotonic() - begun_s
        process.stdin.close()
        told = await process.stdout.read()
        await process.wait()
    if not told:
        raise RuntimeError("the HTTP clients failed")
    found.update(json.loads(told), seconds=seconds)


async def watch_gpu(shares: list[float]) -> None:
    """Notes twice a second how much of the last moment the GPU worked, until cancelled."""
    if shutil.which("nvidia-smi") is None:
        return
    process = await asyncio.create_subprocess_exec(
        *("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0", "-lms", "500"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            with contextlib.suppress(ValueError):
                shares.append(int(line) / 100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def watch_lag(server: ServerProcess, lags_ms: list[float]) -> None:
    """Notes five times a second how far the engine's sound lay behind lately, until cancelled."""
    while True:
        told = (await health(server))["engine_status"].get("lag_ms")
        lags_ms += [] if told is None else [told]
        await asyncio.sleep(LAG_EVERY_S)


async def measure(
    server: ServerProcess, way: str, calls: int, seconds: float, clients: int, retry_s: float = RETRY_S
) -> Round:
    """Measures one load."""
    plan = CallPlan(
        host=server.host,
        port=server.port,
        http_url=server.http_url,
        calls=calls,
        seconds=seconds + SETTLE_S,
        settle_s=SETTLE_S,
        say=CLIP_TEXT,
    )
    gpu: list[float] = []
    lags_ms: list[float] = []
    pid = (await health(server))["engine_status"].get("pid", server.pid)
    async with http_clients(server.http_url, clients, retry_s) as http:
        watching = [asyncio.create_task(each) for each in (watch_gpu(gpu), watch_lag(server, lags_ms))]
        silent, before = await first_audio._underruns(server), Usage.now(pid)
        clock = await pacing.measure(Running(server.pid, server.port), plan)
        engine_share, _, _ = Usage.now(pid).share_since(before)
        silent = await first_audio._underruns(server) - silent
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    one = Round(
        *(calls, way, clock, silent),
        engine_share if pid != server.pid else None,
        mean(gpu[len(gpu) // 3 :]) if gpu else None,
        http,
        max(lags_ms, default=None),
    )
    print(" | ".join(row(one)), file=sys.stderr, flush=True)
    return one


async def measure_all(args: argparse.Namespace, folder: Path, found: list[Round]) -> None:
    """Measures every load in every way, into `found`; a server for each place where the engine can be."""
    places = 1 << (max(args.calls) + args.clients - 1).bit_length()
    settings = {
        "ENGINE": "qwen3",
        "MODEL_ID": str(folder),
        "DEVICE": args.device,
        "DTYPE": "bfloat16" if args.device == "cuda" else "float32",
        "MAX_BATCH": str(places),
        "MAX_POSITIONS": str(MAX_POSITIONS),
        "MAX_CALLS": "2000",
    }
    server_process.START_TIMEOUT_S = START_TIMEOUT_S  # type: ignore[misc]
    servers = {
        "made": own_server("made", {"MAX_CALLS": "2000"}),
        "process": running_server(module="benchmarks.loop_watch", **settings),
    }
    servers["thread"] = own_server("thread", settings)
    for place, starting in servers.items():
        ways = [way for way in args.ways if way.split(",")[0] == place]
        if not ways:
            continue
        begun_s = time.monotonic()
        async with starting as server:
            status = await health(server)
            told = [f"{name} {status['engine_status'].get(name)}" for name in ("runner", "graphs", "capacity")]
            told += status["warnings"]
            print(f"- {place}: started in {time.monotonic() - begun_s:.1f} s; {', '.join(told)}", flush=True)
            for way in ways:
                if way.endswith("short switch"):
                    os.kill(server.pid, signal.SIGUSR1)
                clients = args.clients if place != "made" and not way.endswith("alone") else 0
                for calls in ([max(args.calls)] if "," in way else args.calls) * args.rounds:
                    found.append(await measure(server, way, calls, args.seconds, clients, args.retry))
            ended = (await health(server))["engine_status"]
            trouble = {name: ended[name] for name in ("sentences_by_spare", "faults") if ended.get(name)}
            print(f"- {place}: {trouble or 'no sentence was left to the spare engine, and no fault'}", flush=True)


async def run(args: argparse.Namespace) -> None:
    begun_s = time.monotonic()
    print(markdown([("machine", ""), *facts()]), flush=True)
    if not args.no_handover:
        print(await tts_clock_handover.report(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "custom_voice"
        if any(way != "made" for way in args.ways):
            await build(folder, args.size, args.device)
        print(f"""
## Lateness of the calls' frames, ms

{args.size}, {args.device}; {args.seconds:g} s each, {SETTLE_S:g} s after the last call was up. `silent` are frames
within speech for want of sound, over the whole of the calls; `serve` and `engine` are shares of one core that the two
processes took. {args.clients} HTTP clients but for "no GPU work" and "calls alone".
""")
        found: list[Round] = []
        try:
            await measure_all(args, folder, found)
        finally:  # what was measured before something failed is worth having
            print("\n" + markdown([HEAD, *map(row, found)]), flush=True)
    print(f"\nThe whole took {(time.monotonic() - begun_s) / 60:.1f} minutes.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", nargs="+", type=int, default=list(CALLS))
    parser.add_argument("--clients", type=int, default=CLIENTS, help="over HTTP (default: %(default)s)")
    parser.add_argument("--retry", type=float, default=RETRY_S, help="of refused clients, s (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="of each load, on the same server")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--size", default="0.6B", choices=["tiny", "0.6B", "1.7B"])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--no-handover", action="store_true", help="leave out the part without a model")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
