"""`talkspurt dial`: places calls as Asterisk does, measures what comes back, and names what does not conform."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import uvloop

from bridge.dial.caller import Caller, CannotCall
from bridge.dial.client import CallsClient, Rejected
from bridge.dial.report import PlacedCall, Report
from bridge.dial.wav import both_sides, heard, read_wav, write_wav
from bridge.line.audiosocket import KIND_OF_RATE

SPACING_S: Final = 0.002
"""The time from one call's start, or end, to the next: 500 calls arrive within a second, as from a busy Asterisk."""
DTMF_AFTER_S: Final = 1.0
TURN_SILENCE_S: Final = 0.6
"""An agent that is silent for this long has finished; a pause inside a sentence is shorter."""
DIGITS: Final = "0123456789*#ABCDabcd"
DEFAULT_PORT: Final = 9092
ADDRESS_SHOWN: Final = 80
"""Characters of a wrong address that are shown."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What every call does."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    http_url: str = ""
    api_key: str = ""
    register: bool = False
    """Announce each call over HTTP before it connects, as the dialplan does."""
    calls: int = 1
    seconds: float = 10.0
    """How long the calls last from when all are up, unless the server ends them."""
    settle_s: float = 0.0
    """The time from when all calls are up to when lateness begins to be measured."""
    rate_hz: int = 8_000
    call_id: UUID | None = None
    pcm: bytes = b""
    """What the caller says: 16-bit little-endian mono at `rate_hz`."""
    repeat: bool = False
    dtmf: str = ""
    say: str = ""
    """A text to be spoken into the call over HTTP, once the agent has finished its greeting."""
    interrupt_after_s: float | None = None
    """The time from the first voiced frame (of `say`, if that is set) to the interrupt over HTTP."""
    keep_audio: bool = False


async def place_calls(plan: CallPlan) -> Report:
    """Places the calls of `plan` at the same time and returns what was measured. Raises CannotCall if none connects."""
    placed = [
        PlacedCall(Caller(rate_hz=plan.rate_hz, call_id=plan.call_id, keep_audio=plan.keep_audio))
        for _ in range(plan.calls)
    ]
    gc.collect()
    gc.freeze()  # a collection that walked everything that is loaded would make this caller late
    async with CallsClient(plan.http_url, plan.api_key) if plan.http_url else nullcontext() as client:
        conversations: list[asyncio.Task[None]] = []
        try:
            for call in placed:
                await _connect(call, plan, client)
                if not call.failed:
                    conversations.append(asyncio.create_task(_converse(call, plan, client)))
                await asyncio.sleep(SPACING_S)
            up = [call for call in placed if not call.failed]
            if not up:
                raise CannotCall(placed[0].failed)
            all_up_s = time.monotonic()
            await _until_over(up, plan.seconds)
            until_s = time.monotonic()
            for call in up:
                call.caller.hang_up()
                await asyncio.sleep(SPACING_S)
            await asyncio.gather(*(call.caller.ended.wait() for call in up))
        finally:
            for conversation in conversations:
                conversation.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)
            for call in placed:
                call.caller.hang_up()
            gc.unfreeze()
    return Report(placed, all_up_s + plan.settle_s, until_s)


async def _connect(call: PlacedCall, plan: CallPlan, client: CallsClient | None) -> None:
    try:
        if plan.register and client is not None:
            await client.register(call.caller.id)
        await call.caller.connect(plan.host, plan.port)
    except (CannotCall, Rejected) as error:
        call.failed = str(error)
        return
    call.caller.handset.speak(plan.pcm, repeat=plan.repeat)


async def _until_over(calls: list[PlacedCall], seconds: float) -> None:
    """Waits for `seconds`, or until the server has ended every call."""
    try:
        async with asyncio.timeout(seconds):
            for call in calls:
                await call.caller.ended.wait()
    except TimeoutError:
        pass


async def _converse(call: PlacedCall, plan: CallPlan, client: CallsClient | None) -> None:
    """Presses the keys of one call, has its text spoken and interrupts it, each if `plan` says so."""
    caller = call.caller
    try:
        if plan.dtmf:
            await asyncio.sleep(DTMF_AFTER_S)
            caller.handset.press(plan.dtmf)
        after_s = caller.dialled_s
        if plan.say and client is not None:
            await caller.silence(TURN_SILENCE_S)
            call.handed_s = after_s = time.monotonic()
            await client.say(caller.id, plan.say)
        if plan.interrupt_after_s is not None and client is not None:
            call.unmet = "the agent never spoke, so it could not be interrupted"
            await asyncio.sleep(await caller.voice(after_s) + plan.interrupt_after_s - time.monotonic())
            call.unmet = ""
            call.interrupted_s = time.monotonic()
            await client.interrupt(caller.id)
    except Rejected as error:
        call.failed = str(error)
    except EOFError:
        pass  # the server ended the call first; the report tells when


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt dial`."""
    parser = sub.add_parser(
        "dial",
        help="place calls at an AudioSocket server and measure it",
        description="Places calls as Asterisk does, measures each received frame, and exits with status 1 when the "
        "server did anything that would drop or spoil a call on a real Asterisk.",
    )
    add = parser.add_argument
    add("address", nargs="?", default=f"127.0.0.1:{DEFAULT_PORT}", metavar="HOST:PORT", help="default: %(default)s")
    add("--calls", type=_positive(int), default=1, metavar="N", help="simultaneous calls (default: 1)")
    add("--seconds", type=_positive(float), default=10.0, metavar="S", help="length of the calls (default: 10)")
    add(
        "--settle",
        type=_finite,
        default=0.0,
        metavar="S",
        help="begin to measure lateness S seconds later (default: 0)",
    )
    add("--rate", type=int, choices=sorted(KIND_OF_RATE), default=8_000, help="sample rate in Hz (default: 8000)")
    add("--uuid", type=UUID, metavar="UUID", help="the call's UUID (one call only; default: a random one)")
    add("--wav", type=Path, metavar="FILE", help="a sound file that the caller says (default: silence)")
    add("--repeat", action="store_true", help="say the file over and over")
    add(
        "--dtmf", type=_digits, default="", metavar="DIGITS", help=f"digits to press {DTMF_AFTER_S:.0f} s into the call"
    )
    add("--record", type=Path, metavar="FILE", help="write what the caller hears (FILE-1.wav … with several calls)")
    add("--stereo", action="store_true", help="record both sides: caller left, agent right")
    add("--http", default="", metavar="URL", help="address of the calls API, for the next four options")
    add("--api-key", default=os.environ.get("API_KEY", ""), metavar="KEY", help="its key (default: API_KEY)")
    add("--register", action="store_true", help="announce each call first, as the dialplan does")
    add("--say", default="", metavar="TEXT", help="have TEXT spoken into the call, and measure until it is heard")
    add(
        "--interrupt-after",
        type=_finite,
        metavar="S",
        help="interrupt S seconds into the speech, and measure the silence",
    )
    add("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Places the calls and prints the figures.

    Returns 0 if the server conforms, 1 if it does not, and 2 if the calls could not be placed.
    """
    if (args.register or args.say or args.interrupt_after is not None) and not args.http:
        return _complain("--register, --say and --interrupt-after need --http URL")
    if args.uuid and args.calls > 1:
        return _complain("--uuid is for one call; several cannot share it")
    host, _, port = args.address.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        return _complain(f"{args.address[:ADDRESS_SHOWN]!r} is not HOST:PORT")
    if args.record and not args.record.parent.is_dir():
        return _complain(f"cannot write --record: there is no folder {args.record.parent}")
    try:
        pcm = read_wav(args.wav, args.rate).astype("<i2").tobytes() if args.wav else b""
    except (OSError, ValueError) as error:
        return _complain(f"cannot read --wav: {error}")
    plan = CallPlan(
        host=host.strip("[]"),
        port=int(port),
        http_url=args.http,
        api_key=args.api_key,
        register=args.register,
        calls=args.calls,
        seconds=args.seconds,
        settle_s=args.settle,
        rate_hz=args.rate,
        call_id=args.uuid,
        pcm=pcm,
        repeat=args.repeat,
        dtmf=args.dtmf,
        say=args.say,
        interrupt_after_s=args.interrupt_after,
        keep_audio=args.record is not None,
    )
    try:
        report = uvloop.run(place_calls(plan))
    except CannotCall as error:
        return _complain(str(error))
    if args.record:
        _record(report, args.record, args.stereo)
    print(json.dumps(report.figures()) if args.json else report.text())
    return 1 if report.faults else 0


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value <= 0 or not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"must be above 0 and finite, not {text}")
        return value

    parse.__name__ = kind.__name__  # argparse names it in its message about what is no number
    return parse


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text}")
    return value


def _digits(text: str) -> str:
    if set(text) - set(DIGITS):
        raise argparse.ArgumentTypeError(f"digits are {DIGITS}, not {text!r}")
    return text


def _record(report: Report, path: Path, stereo: bool) -> None:
    callers = [call.caller for call in report.placed if not call.failed]
    for number, caller in enumerate(callers, 1):
        file = path if len(callers) == 1 else path.with_stem(f"{path.stem}-{number}")
        pcm = both_sides(caller) if stereo else heard(caller.received, caller.dialled_s)
        write_wav(file, pcm, caller.received.rate_hz)


def _complain(message: str) -> int:
    print(f"talkspurt dial: {message}", file=sys.stderr)
    return 2
