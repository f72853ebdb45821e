"""Measures the serving process with the sound of many calls that come at one moment, on a machine without a GPU.

    python -m benchmarks.tts_rush [--calls 150] [--clients 32] [--rounds 3]

The engine's process is real but for the GPU: `benchmarks.tts_rush_worker` sleeps as long as an H200 works. The calls
come within a second, as in `benchmarks.tts_clock`, and all speak without a pause. `lag` is how long an event of the
engine's has been on its way at most. Beside a CPU torch it needs PYTHONPATH=$PWD/tests/support/qwen3/stand_ins.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import uvloop

from benchmarks import tts_clock
from benchmarks.machine import facts
from benchmarks.servers import health
from benchmarks.table import markdown

SECONDS = 2.5
SETTINGS = {
    "ENGINE": "qwen3",
    "DEVICE": "cpu",
    "DTYPE": "float32",
    "MAX_BATCH": "512",
    "MAX_POSITIONS": "64",
    "PRIME_LANGUAGES": "none",
    "MAX_CALLS": "2000",
    "OMP_NUM_THREADS": "1",
}


async def run(calls: int, clients: int, rounds: int) -> None:
    print(markdown([("machine", ""), *facts()]), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "custom_voice"
        await tts_clock.build(folder, "tiny", "cpu")
        for _ in range(rounds):
            for bulk in (0, clients):
                async with tts_clock.own_server("stand-in", SETTINGS | {"MODEL_ID": str(folder)}) as server:
                    one = await tts_clock.measure(server, "process", calls, SECONDS, bulk)
                    lag_ms = (await health(server))["engine_status"]["lag_ms"]
                rows.append((str(bulk), f"{lag_ms:.0f}", *tts_clock.row(one)))
    print("\n" + markdown([("HTTP clients", "lag, ms", *tts_clock.HEAD), *sorted(rows)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    uvloop.run(run(args.calls, args.clients, args.rounds))


if __name__ == "__main__":
    main()
