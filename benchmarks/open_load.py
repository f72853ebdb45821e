"""Measures `talkspurt serve` under an open load of speech requests, as nari-labs' tts-bench defines one.

    python -m benchmarks.open_load [--size 1.7B] [--rates 1 10 20 40 80 160 200 320] [--seconds 15] [--plot FILE]

Requests come at random (Poisson), whether or not those before them were answered, to `POST /v1/audio/speech` with raw
PCM as it is made. First sound is the first audible sample in the client, after the request was sent; playback begins
with the first sample that comes and has no buffer, and whenever the next sample is late that is an underrun. The
generator is ours. The checkpoint is made here, in the true size with random weights, and every sentence is cut at
`--frames`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks import tts_clock
from benchmarks.machine import Usage, facts
from benchmarks.servers import health
from benchmarks.table import markdown
from bridge.converse import server_process
from bridge.converse.server_process import ServerProcess, running_server

CLIENTS = 4
"""The processes that ask: together they are one Poisson load, and none is busy for long."""
PROMPT_POSITIONS = 10
PUBLISHED = {
    "nari's server": {1: 26.5, 10: 34.1, 20: 77.2},
    "vLLM-Omni": {1: 56.8, 10: 135.8, 20: 396.9},
    "SGLang-Omni": {1: 120.9, 10: 660.2},
}
"""p95 of the first audible sound, ms, 1.7B on an H100: nari-labs' figures by their own tts-bench."""
START_TIMEOUT_S = 300.0
HEAD = (
    *("requests/s", "answered", "first sound p50, ms", "p95", "p99", "underruns", "longest, ms", "refused"),
    *("refused after p50 / p95 / max, ms", "failed", "most in flight", "serve"),
)


@dataclass(slots=True)
class Row:
    """One rate."""

    rate: float
    first_ms: list[float]
    underruns: list[float]
    """The longest gap of each reply that had one."""
    refused_ms: list[float]
    failed: int
    in_flight: int
    serve_share: float
    reasons: list[str]

    def cells(self) -> tuple[str, ...]:
        count = len(self.first_ms)
        percentiles = np.percentile(self.first_ms, [50, 95, 99]) if count else [np.nan] * 3
        refused = np.percentile(self.refused_ms, [50, 95, 100]) if self.refused_ms else []
        return (
            *(f"{self.rate:g}", f"{count:,}", *(f"{value:.1f}" for value in percentiles)),
            *(str(len(self.underruns)), f"{max(self.underruns):.0f}" if self.underruns else "–"),
            *(f"{len(self.refused_ms):,}", " / ".join(f"{value:.0f}" for value in refused) or "–"),
            *(str(self.failed), f"{self.in_flight:,}", f"{self.serve_share:.0%}"),
        )


def summed_up(rate: float, answers: Sequence[dict[str, Any]], settle_s: float, serve_share: float) -> Row:
    """Returns the row of all requests that were sent once the load had settled."""
    begun_s = min(answer["sent_s"] for answer in answers) + settle_s
    counted = [answer for answer in answers if answer["sent_s"] >= begun_s]
    heard = [answer["heard"] for answer in counted if answer["status"] == 200 and answer["heard"]]
    refused = [answer for answer in counted if answer["status"] == 503 and answer["retry_after"]]
    changes = [(answer["sent_s"], 1) for answer in answers] + [(answer["over_s"], -1) for answer in answers]
    return Row(
        rate,
        [one["audible_ms"] for one in heard],
        [one["gap_ms"] for one in heard if one["gaps"]],
        [(answer["over_s"] - answer["sent_s"]) * 1e3 for answer in refused],
        len(counted) - len(heard) - len(refused),
        max(itertools.accumulate(change for _, change in sorted(changes))),
        serve_share,
        sorted({str(answer["status"]) for answer in counted} - {"200", "503"}),
    )


async def offer(server: ServerProcess, rate: float, seconds: float, settle_s: float) -> Row:
    """Offers one load."""
    before = Usage.now(server.pid)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.open_load_client"),
            *(server.http_url, str(rate / CLIENTS), str(settle_s + seconds), str(seed)),
            stdout=asyncio.subprocess.PIPE,
        )
        for seed in range(CLIENTS)
    ]
    told = await asyncio.gather(*(process.communicate() for process in processes))
    share, _, _ = Usage.now(server.pid).share_since(before)
    answers = [answer for out, _ in told for answer in json.loads(out or b"[]")]
    row = summed_up(rate, answers, settle_s, share)
    print(" | ".join(row.cells()), *row.reasons, file=sys.stderr, flush=True)
    return row


async def run(args: argparse.Namespace) -> None:
    print(markdown([("machine", ""), *facts()]), flush=True)
    server_process.START_TIMEOUT_S = START_TIMEOUT_S  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as name:
        folder = args.checkpoint or Path(name) / "custom_voice"
        if not folder.exists():
            await tts_clock.build(folder, args.size, args.device)
        settings = {
            "ENGINE": "qwen3",
            "MODEL_ID": str(folder),
            "DEVICE": args.device,
            "DTYPE": "bfloat16" if args.device == "cuda" else "float32",
            "MAX_BATCH": str(args.places),
            "MAX_POSITIONS": str(args.frames + PROMPT_POSITIONS),
            "AUDIO_CACHE_MAX": "0",
            "MAX_QUEUE_DEPTH": "0",
            "MAX_CONNECTIONS": "8192",
        }
        async with running_server(**settings) as server:
            engine = (await health(server))["engine_status"]
            told = {name: engine.get(name) for name in ("runner", "graphs", "capacity", "http_capacity")}
            print(f"\n{args.size}, {args.frames * 0.08:g} s a sentence, {told}\n", flush=True)
            await offer(server, args.rates[0] + 2, args.settle, 0.0)
            rows = [await offer(server, rate, args.seconds, args.settle) for rate in args.rates]
            print({name: (await health(server))["engine_status"].get(name) for name in ("refused", "faults", "load")})
    print("\n" + markdown([HEAD, *(row.cells() for row in rows)]))
    if args.plot:
        plot({row.rate: float(np.percentile(row.first_ms, 95)) for row in rows if row.first_ms}, args.card, args.plot)


def plot(ours: dict[float, float], card: str, path: Path) -> None:
    """Draws the p95 of the first sound over the rate, beside the published figures."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for name, points in PUBLISHED.items():
        axes.plot(list(points), list(points.values()), marker="o", linestyle="--", label=f"{name}, H100, published")
    axes.plot(list(ours), list(ours.values()), marker="o", color="black", label=f"Talkspurt, {card}, random weights")
    axes.set(xscale="log", yscale="log", xlabel="requests a second", ylabel="first audible sound, p95, ms")
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1.7B", choices=["tiny", "0.6B", "1.7B"])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--rates", type=float, nargs="+", default=[1, 10, 20, 40, 80, 160, 200, 320])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each rate, once it has settled")
    parser.add_argument("--settle", type=float, default=30.0, help="seconds of each rate that do not count")
    parser.add_argument("--frames", type=int, default=62, help="of 80 ms in every sentence")
    parser.add_argument("--places", type=int, default=1024)
    parser.add_argument("--checkpoint", type=Path, help="a folder that is kept for the next run")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--card", default="H200")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
