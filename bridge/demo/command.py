"""The command `talkspurt demo`: holds the demo's calls, prints their figures and writes their files."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

from bridge.converse.server_process import CannotServe
from bridge.converse.voices import RATE_HZ
from bridge.demo.scripted_call import ScriptedCall, figures
from bridge.demo.scripted_caller import hold_call
from bridge.dial.caller import CannotCall
from bridge.dial.client import Rejected
from bridge.dial.conformance import faults
from bridge.dial.wav import both_sides, write_wav
from engine.extras import install
from engine.speech import SpeechError

FOLDER: Final = Path("demo")


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt demo`."""
    parser = sub.add_parser(
        "demo",
        help="hold a call with a barge-in and show it",
        description="Starts a server on the embedded voice, holds a call with it and leaves the call as a stereo WAV "
        "(caller left, agent right) and a timeline; then a spoken conversation with the embedded recogniser. Needs no "
        "network and no key.",
    )
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--short", action="store_true", help="leave out the spoken conversation")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Holds the calls, prints their figures and writes the files. Returns 1 if one went wrong."""
    if importlib.util.find_spec("matplotlib") is None:
        return _fail(f"the timeline needs matplotlib: {install('demo')}")
    import uvloop

    from bridge.demo.spoken_order import WentWrong

    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))  # before the demo adds to it
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        status = int(uvloop.run(_hold_calls(args.output, spoken=not args.short)))
    except (CannotServe, CannotCall, Rejected, SpeechError, WentWrong, OSError) as error:
        status = _fail(str(error))
    except EOFError:
        status = _fail("the server ended the call before its time")
    if status and load > cores:
        _fail(f"the machine was busy before (load {load:.1f} on {cores} cores), and then is late: try again")
    return status


async def _hold_calls(output: Path, *, spoken: bool) -> int:
    """Holds the scripted call and, beside it at another server, the spoken conversation. Returns the exit status."""
    from bridge.demo import spoken_order

    if spoken and not spoken_order.available():
        print(f"A spoken conversation needs a recogniser: {install('demo')}")
        spoken = False
    print("Holding a call, and a spoken conversation beside it …" if spoken else "Holding a call …", flush=True)
    dial = asyncio.Barrier(2 if spoken else 1)  # a server that loads beside a call would spoil the figures of the call
    calling = asyncio.create_task(hold_call(dial))
    orders = [asyncio.create_task(spoken_order.hold_order(dial))] if spoken else []
    try:
        call = await calling
        if orders:
            await asyncio.wait(orders)  # drawing meanwhile would hold up the caller of the conversation
    finally:
        for task in (calling, *orders):
            task.cancel()
        await asyncio.gather(calling, *orders, return_exceptions=True)
    status = _leave(call, output)
    for order in orders:
        written = spoken_order.write(order.result(), output)
        print(f"\n{spoken_order.show(order.result())}\n", *written, sep="\n")
    return status


def _leave(call: ScriptedCall, output: Path) -> int:
    """Writes the call's files and prints its figures. Returns 1 if the server did not conform."""
    from bridge.demo.timeline import draw

    write_wav(output / "call.wav", both_sides(call.caller), RATE_HZ)
    draw(call, output / "call.png")
    print(f"\n{figures(call)}\n\n{output / 'call.wav'}\n{output / 'call.png'}", flush=True)
    return 1 if faults(call.caller) else 0


def _fail(reason: str) -> int:
    print(f"talkspurt demo: {reason}", file=sys.stderr)
    return 1
