"""Measures a host with one GPU: WORKERS, an engine of true size, and hundreds of calls that converse.

    python -m benchmarks.host [--calls 250 500 1000] [--workers 12] [--server-cores 16] [--replicas 2]

All of `talkspurt serve` has the first `--server-cores` cores; callers, recogniser and model, in processes of their own,
have the others where there are any. Recogniser and model are scripted and are reached as real ones are; the speech is
made by Qwen3-TTS with random weights, every sentence as long as `MAX_POSITIONS` lets it be (4.3 s).
Without a GPU `--made` measures all but the model. To try all: `--device cpu --size tiny --calls 2 --workers 2`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Final

import aiohttp
import numpy as np
import uvloop

from benchmarks.gpu_replicas import build_checkpoint, engine_settings, gpu_replicas, on_cores
from benchmarks.host_callers import Plan, found_of
from benchmarks.host_table import HEAD, Row, first_sounds_ms
from benchmarks.machine import Usage, facts
from benchmarks.servers import health
from benchmarks.table import markdown
from benchmarks.tts_clock import START_TIMEOUT_S, watch_gpu
from bridge.converse import server_process
from bridge.converse.server_process import ServerProcess, running_server

JOIN_A_S: Final = 250.0
"""The calls that come in a second."""
BEGIN_S: Final = 3.0
"""From starting the callers' processes to their first call."""


class Services:
    """Recogniser and model, in processes that share one port. An async context manager."""

    def __init__(self, processes: int, cores: list[int]) -> None:
        self.port = 0
        self.pids: list[int] = []
        self._processes, self._cores = processes, cores
        self._children: list[asyncio.subprocess.Process] = []
        self._reserved = socket.socket()

    async def __aenter__(self) -> Services:
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port = self._reserved.getsockname()[1]
        with on_cores(self._cores):
            for seed in range(self._processes):
                child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "benchmarks.host_services", str(self.port), str(seed)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=2**26,
                )
                self._children.append(child)
        self.pids = [child.pid for child in self._children]
        await self.texts()  # they listen
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children:
            assert child.stdin is not None
            child.stdin.close()
            await child.wait()
        self._reserved.close()

    async def texts(self) -> list[tuple[str, float]]:
        """Returns which call was sent a text since the last time, and when."""
        found = []
        for child in self._children:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(b"\n")
            found += [(call_id, at_s) for call_id, at_s in json.loads(await child.stdout.readline())]
        return found


async def silent_frames(server: ServerProcess) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http_url}/metrics") as response:
        found = re.search(r"^talkspurt_underrun_frames_total (\S+)", await response.text(), re.M)
    return int(float(found[1])) if found is not None else 0


async def shares(pids: Sequence[int], from_s: float, until_s: float) -> list[float]:
    """Returns what share of a core each process takes between two moments."""
    await asyncio.sleep(from_s - time.monotonic())
    before = [Usage.now(pid) for pid in pids]
    await asyncio.sleep(until_s - time.monotonic())
    return [Usage.now(pid).share_since(was)[0] for pid, was in zip(pids, before, strict=True)]


async def measure(
    server: ServerProcess, engines: list[int], calls: int, args: argparse.Namespace, others: list[int], these: Services
) -> Row:
    """Measures one load."""
    workers = [worker["pid"] for worker in (await health(server))["workers"]]
    silent, gpu = await silent_frames(server), list[float]()
    begin_s = time.monotonic() + BEGIN_S
    joined_s = begin_s + max(1.0, calls / JOIN_A_S)
    from_s, until_s = joined_s + args.settle, joined_s + args.settle + args.seconds
    with tempfile.TemporaryDirectory() as folder:
        plans = [
            Plan(
                *(server.host, server.port, calls // args.callers + (number < calls % args.callers)),
                *(begin_s, joined_s, from_s, until_s, number, f"{folder}/{number}"),
            )
            for number in range(min(args.callers, calls))
        ]
        with on_cores(others):
            callers = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "benchmarks.host_callers", json.dumps(asdict(plan)))
                )
                for plan in plans
            ]
        watching = asyncio.create_task(watch_gpu(gpu))
        supervisor, *took = await shares([server.pid, *workers, *engines, *these.pids], from_s, until_s)
        watching.cancel()
        await asyncio.gather(watching, *(caller.wait() for caller in callers), return_exceptions=True)
        found = [found_of(plan) for plan in plans]
    return Row(
        calls=calls,
        late_ms=np.concatenate([one.late_ms for one in found]),
        missing=sum(one.missing for one in found),
        silent=await silent_frames(server) - silent,
        first_ms=first_sounds_ms(await these.texts(), [each for one in found for each in one.heard]),
        unanswered=sum(one.unanswered for one in found),
        lost=sum(one.not_connected + one.ended for one in found),
        workers=took[: len(workers)],
        supervisor=supervisor,
        engines=took[len(workers) : len(workers) + len(engines)],
        services=took[len(workers) + len(engines) :],
        callers=[one.own_share for one in found],
        gpu=mean(gpu[len(gpu) // 2 :]) if gpu else None,
        voiced=sum(one.voiced for one in found),
        callers_late_ms=max(one.own_late_ms for one in found),
    )


@asynccontextmanager
async def serving(args: argparse.Namespace, settings: dict[str, str]) -> AsyncIterator[tuple[ServerProcess, list[int]]]:
    """Serves with an engine of its own, or with replicas; also tells the engines' processes."""
    async with AsyncExitStack() as stack:
        if args.made:
            yield await stack.enter_async_context(running_server(module="benchmarks.workers_server", **settings)), []
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoint = args.checkpoint or folder / "custom_voice"
        if not checkpoint.exists():
            await build_checkpoint(checkpoint, args.size, args.device)
        if not args.replicas:
            settings = engine_settings(checkpoint, args.device, args.places) | settings
            server = await stack.enter_async_context(running_server(**settings))
            yield server, [(await health(server))["engine_status"]["pid"]]
            return
        devices = [f"cuda:{number}" if args.device == "cuda" else "cpu" for number in range(args.replicas)]
        engines = await stack.enter_async_context(gpu_replicas(folder, devices, args.places, checkpoint))
        settings = {"ENGINE": "remote", "ENGINE_URLS": ",".join(str(each.address) for each in engines)} | settings
        server = await stack.enter_async_context(running_server(**settings))
        yield server, [pid for each in engines for pid in each.pids()]


async def run(args: argparse.Namespace) -> None:
    """Measures every load, and prints each as it is known."""
    print(markdown([("machine", ""), *facts()]), flush=True)
    server_process.START_TIMEOUT_S = START_TIMEOUT_S  # type: ignore[misc]
    cores = sorted(os.sched_getaffinity(0))
    served, others = cores[: args.server_cores], cores[args.server_cores :] or cores
    print(f"\nserve and engine on cores {served}, callers and services on {others}", flush=True)
    rows: list[Row] = []
    async with Services(args.services, others) as these:
        settings = {"WORKERS": str(args.workers), "MAX_CALLS": "4000", "GREETING": "Hello, how can I help you?"}
        settings |= {"NO_INPUT_TIMEOUT_MS": "0", "ASR_PROTOCOL": "deepgram", "ASR_MODEL": "flux", "LLM_MODEL": "host"}
        settings |= {"ASR_URL": f"ws://127.0.0.1:{these.port}", "LLM_BASE_URL": f"http://127.0.0.1:{these.port}/v1"}
        settings |= dict(each.split("=", 1) for each in args.set)
        begun_s = time.monotonic()
        with on_cores(served):
            starting = serving(args, settings)
            server, engines = await starting.__aenter__()
        try:
            status = (await health(server))["engine_status"]
            told = {name: status.get(name) for name in ("engine", "runner", "graphs", "capacity", "gpu_name")}
            print(f"started in {time.monotonic() - begun_s:.1f} s: {told}\n\n{markdown([HEAD])}", flush=True)
            for calls in args.calls:
                rows.append(await measure(server, engines, calls, args, others, these))
                print(f"| {' | '.join(rows[-1].cells())} |", flush=True)
            status = (await health(server))["engine_status"]
            trouble = {name: status[name] for name in ("sentences_by_spare", "faults", "refused") if status.get(name)}
            print(f"\n{trouble or 'no sentence was left to the spare engine, and no fault'}", flush=True)
        finally:
            await starting.__aexit__(None, None, None)
    for row in rows:
        print(f"\n{row.calls} calls: {row.more()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load, once all have been up for a while")
    parser.add_argument("--settle", type=float, default=4.0, help="from the last call's beginning to what is measured")
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--server-cores", type=int, default=16, help="the first cores of the machine (default: 16)")
    parser.add_argument("--callers", type=int, default=10, help="processes that call")
    parser.add_argument("--services", type=int, default=4, help="processes of recogniser and model")
    parser.add_argument("--replicas", type=int, default=0, help="engines on as many GPUs; 0: one, of `serve` itself")
    parser.add_argument("--made", action="store_true", help="no model: the speech is made already")
    parser.add_argument("--size", default="0.6B", choices=["tiny", "0.6B", "1.7B"])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--places", type=int, default=1024, help="MAX_BATCH of each engine")
    parser.add_argument("--checkpoint", type=Path, help="a folder that is kept for the next run")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of `serve`")
    args = parser.parse_args()
    uvloop.run(run(args))


if __name__ == "__main__":
    main()
