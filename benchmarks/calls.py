"""Calls measured from the other end: pacing, barge-in, first audio; beside the peer, on the same cores.

Prints Markdown for `docs/performance.md`. The callers run in this process, the server in another, on the same machine.
Lateness is defined in `bridge/dial/lateness.py`; a frame is voiced when its peak is above -50 dBFS; times of arrival
are the kernel's.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from benchmarks import barge_in, first_audio, pacing
from benchmarks.machine import facts
from benchmarks.servers import PEER, install_peer, write_clip
from benchmarks.table import markdown
from bridge.dial.table import PERCENTILES, spread_cells

LOADS = [1, 100, 250, 500]
SECONDS = 10.0
REPEATS = 3
INTERRUPTS = 200
TEXTS = 40
CALLS_WHILE_MADE = 10

GOAL_RATIO = 0.5
GOAL_RATIO_LOADS = (100, 250)
GOAL_P999_MS = 10.0
GOAL_P999_LOAD = 500
GOAL_SILENCE_P99_MS = 20.0
GOAL_FIRST_AUDIO_MS = 60.0


PARTS = ("pacing", "made", "barge-in", "first-audio")


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached, with what was measured."""

    text: str
    reached: bool


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.calls", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short repeat: to try it, not to publish")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--calls", nargs="+", type=int, default=LOADS, metavar="N", help="loads of the pacing part")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--no-peer", action="store_true", help="measure ours alone")
    args = parser.parse_args()
    if args.quick:
        args.repeats = 1
    uvloop.run(run(args))


async def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    began_s = time.monotonic()
    goals: list[Goal] = []
    print(markdown([("machine", ""), *facts()]))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        write_clip(clip)
        if "pacing" in args.parts:
            goals += await _pacing(args, clip)
        if "made" in args.parts:
            goals += await _made(args)
        if "barge-in" in args.parts:
            goals += await _barge_in(args, clip)
        if "first-audio" in args.parts:
            goals += await _first_audio(args)
    print("\n## Goals\n")
    for goal in goals:
        print(f"- {'reached' if goal.reached else 'MISSED'}: {goal.text}")
    print(f"\nThe whole took {(time.monotonic() - began_s) / 60:.1f} minutes.")


async def _pacing(args: argparse.Namespace, clip: Path) -> list[Goal]:
    seconds = 4.0 if args.quick else SECONDS
    skipped = "--no-peer" if args.no_peer else await asyncio.to_thread(install_peer)
    print(f"""
## Pacing: lateness of received frames, ms

All calls hear audio already made. {args.repeats} rounds of {seconds:.0f} s each, the servers in turn: medians, with the
range of p99.9 and the worst maximum. Shares are of one core; *others* is everything else that ran; *callers late* is by
how much the callers' own frames were late at the worst. *ours*: all of `talkspurt serve` but the engine. *peer*:
{PEER},
{f"left out: {skipped}" if skipped else "its AudioSocketTransport.play alone; its calls share one copy of the audio"}.
""")
    names = ["ours"] if skipped else ["ours", "peer"]
    rounds = await pacing.compare(names, args.calls, seconds, args.repeats, clip)
    print(markdown([pacing.HEAD, *(pacing.row(calls, name, found) for (calls, name), found in rounds.items())]))
    every = [one for found in rounds.values() for one in found]
    print(f"""
At least {min(one.voiced_share for one in every):.0%} of the frames of each round's last second were voiced.
Of {sum(one.upper_bounds for one in every):,} frames of {sum(one.frames for one in every):,} the time is an upper bound,
as the caller found them lying together with the next; *exact* is without them.""")
    p999_ms = {key: median(one.p999_ms for one in found) for key, found in rounds.items()}
    return [*_ratio_goals(p999_ms), *_load_goal(p999_ms)]


def _ratio_goals(p999_ms: dict[tuple[int, str], float]) -> list[Goal]:
    goals = []
    for calls in GOAL_RATIO_LOADS:
        if (calls, "peer") in p999_ms:
            ours, theirs = p999_ms[calls, "ours"], p999_ms[calls, "peer"]
            text = f"p99.9 at {calls} calls below {GOAL_RATIO:.0%} of the peer's"
            goals.append(Goal(f"{text}: {ours:.2f} / {theirs:.2f} = {ours / theirs:.0%}", ours < GOAL_RATIO * theirs))
    return goals


def _load_goal(p999_ms: dict[tuple[int, str], float]) -> list[Goal]:
    if (GOAL_P999_LOAD, "ours") not in p999_ms:
        return []
    value = p999_ms[GOAL_P999_LOAD, "ours"]
    return [Goal(f"p99.9 at {GOAL_P999_LOAD} calls at most {GOAL_P999_MS:.0f} ms: {value:.2f}", value <= GOAL_P999_MS)]


async def _made(args: argparse.Namespace) -> list[Goal]:
    seconds = 4.0 if args.quick else SECONDS
    print(f"\n## Pacing while the speech of {CALLS_WHILE_MADE} calls is being made, ms\n")
    found = [await first_audio.pacing_while_made(CALLS_WHILE_MADE, seconds) for _ in range(args.repeats)]
    print(markdown([pacing.HEAD, pacing.row(CALLS_WHILE_MADE, "serve", [one for one, _ in found])]))
    print(f"""
{sum(underruns for _, underruns in found)} frames inside speech were silent because it was not made in time.
The embedded voice is a process of its own, under *others*.""")
    return []


async def _barge_in(args: argparse.Namespace, clip: Path) -> list[Goal]:
    interrupts = 20 if args.quick else INTERRUPTS
    print(f"\n## Barge-in: interrupt asked for over HTTP → last voiced frame, ms\n\n{interrupts} interrupts each.\n")
    rows: list[tuple[str, ...]] = [("calls", *PERCENTILES)]
    goals = []
    for calls in (1, 100):
        spread, loud = await barge_in.measure(calls, interrupts, clip)
        rows.append((str(calls), *spread_cells(spread)))
        text = f"silent within {GOAL_SILENCE_P99_MS:.0f} ms (p99) with {calls} calls: {spread.p99:.2f}"
        text += f", and {loud} times the agent spoke on" if loud else ""
        goals.append(Goal(text, spread.p99 <= GOAL_SILENCE_P99_MS and not loud))
    print(markdown(rows))
    return goals


async def _first_audio(args: argparse.Namespace) -> list[Goal]:
    times = 5 if args.quick else TEXTS
    print(f"""
## First audio: text handed over by HTTP → first voiced frame, ms

The embedded voice, one call, {times} texts of each length, none said before.
""")
    found = await first_audio.measure(times)
    lengths = {"short": len(first_audio.SHORT), "long": len(first_audio.LONG)}
    rows = [("text", *PERCENTILES)]
    rows += [(f"{kind}, {lengths[kind]} characters", *spread_cells(spread)) for kind, spread in found.items()]
    print(markdown(rows))
    return [
        Goal(
            f"first voiced frame of a {kind} text within {GOAL_FIRST_AUDIO_MS:.0f} ms (p99): {spread.p99:.2f}",
            spread.p99 <= GOAL_FIRST_AUDIO_MS,
        )
        for kind, spread in found.items()
    ]


if __name__ == "__main__":
    main()
