"""What the serving process does with the sound of many calls that come in one moment, on a machine without a GPU.

    python -m benchmarks.tts_rush [--calls 150] [--clients 32] [--rounds 3]

The engine's process is real but for the GPU: `benchmarks.tts_rush_worker` sleeps as long as an H200 works. The calls
come within a second, as in `benchmarks.tts_clock`, and all speak without a pause. `lag` is how long an event of the
engine's has been on its way at most. Beside a CPU torch it needs PYTHONPATH=$PWD/tests/qwen3/stand_ins.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import uvloop

from benchmarks import tts_clock
from benchmarks.machine import facts
from bridge.app import App
from bridge.config import load_settings
from bridge.demo.server_process import Server, bare_environment
from bridge.dial.table import markdown
from bridge.logs import set_up_logs
from engine.qwen3.engine import Qwen3Engine
from engine.qwen3.messages import Beat, Event

SECONDS = 2.5
START_TIMEOUT_S = 60.0
PLACES = 512


class Watched(Qwen3Engine):
    """Tells by the engine's beats how long they were on their way."""

    lag_s = 0.0

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Beat):
            self.lag_s = max(self.lag_s, time.monotonic() - event.facts["told_s"])
        super()._on_event(event)

    def status(self) -> Mapping[str, Any]:
        return {**super().status(), "lag_ms": self.lag_s * 1e3}


async def serve(told: TextIO) -> None:
    """Tell where it listens, then serve until killed."""
    engine = Watched(load_settings(), command=("-m", "benchmarks.tts_rush_worker"))
    app = App(load_settings(), engine)
    await app.start()
    engine.lag_s = 0.0
    where = {"host": "127.0.0.1", "port": app.audiosocket_port, "http_url": f"http://127.0.0.1:{app.http_port}"}
    told.write(json.dumps(where) + "\n")
    told.flush()
    await asyncio.Event().wait()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    """A server of its own, until the end of the block."""
    settings = {"ENGINE": "qwen3", "MODEL_ID": str(folder), "DEVICE": "cpu", "DTYPE": "float32", "MAX_CALLS": "2000"}
    settings |= {"MAX_BATCH": str(PLACES), "MAX_POSITIONS": "64", "PRIME_LANGUAGES": "", "OMP_NUM_THREADS": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.tts_rush", "--serve"),
        env=bare_environment() | {"AUDIOSOCKET_PORT": "0", "HTTP_PORT": "0"} | settings,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            raise RuntimeError("the server did not start")
        yield Server(process.pid, **json.loads(line))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def run(calls: int, clients: int, rounds: int) -> None:
    print(markdown([("machine", ""), *facts()]), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "custom_voice"
        await tts_clock.build(folder, "tiny", "cpu")
        for _ in range(rounds):
            for bulk in (0, clients):
                async with serving(folder) as server:
                    one = await tts_clock.measure(server, "process", calls, SECONDS, bulk)
                    lag_ms = (await tts_clock.health(server))["engine_status"]["lag_ms"]
                rows.append((str(bulk), f"{lag_ms:.0f}", *tts_clock.row(one)))
    print("\n" + markdown([("HTTP clients", "lag, ms", *tts_clock.HEAD), *sorted(rows)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        set_up_logs("text", "warning")
        # What libraries print as they are loaded must not get before the line that is waited for.
        out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        uvloop.run(serve(out))
    else:
        uvloop.run(run(args.calls, args.clients, args.rounds))


if __name__ == "__main__":
    main()
