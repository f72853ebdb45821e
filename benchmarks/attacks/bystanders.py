"""Ten callers beside an attack, in a process of their own: which frames they missed and when they heard a text.

Run as a module it places the calls, prints a line when all are up, and prints its figures as JSON once a line comes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import uvloop

from benchmarks.attacks.target import KEY, Target
from bridge.dial.caller import Caller
from bridge.dial.client import CallsClient, Rejected
from bridge.dial.lateness import expected_frames

CALLS: Final = 10
SETTLE_S: Final = 2.0
"""From the last call's start to the first frame that counts: by then the greeting is over."""
PAUSE_S: Final = 0.5
"""Silence from one text to the next, of the one caller who is spoken to."""
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Figures:
    """What ten callers noticed."""

    missing: int
    """Frames that did not come."""
    expected: int
    longest_gap_ms: float
    """Between two frames of one call, or from the last to the end."""
    first_sound_ms: float
    """From a text handed over to its sound, the longest of one call."""
    late_ms: float
    """By how much these callers' own frames were late: how busy the machine was."""


class Bystanders:
    """The process, from the parent's side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line that it prints. Raises EOFError."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("the bystanders' process has ended")
        return line.decode()

    async def figures(self) -> Figures:
        """End the measurement."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return Figures(**json.loads(await self.line()))


@contextlib.asynccontextmanager
async def placed(target: Target) -> AsyncIterator[Bystanders]:
    """Ten calls that are up and settled; they end with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.attacks.bystanders", target.host, str(target.port), target.http_url),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        bystanders = Bystanders(process)
        await bystanders.line()
        yield bystanders
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _call(host: str, port: int, http_url: str) -> None:
    callers = [Caller() for _ in range(CALLS)]
    for caller in callers:
        await caller.connect(host, port)
    sounds_ms: list[float] = []
    async with CallsClient(http_url, KEY) as client:
        await asyncio.sleep(SETTLE_S)
        speaking = asyncio.create_task(_be_spoken_to(callers[0], client, sounds_ms))
        since_s = time.monotonic()
        print("up", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        until_s = time.monotonic()
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        print(json.dumps(_figures(callers, since_s, until_s, sounds_ms)), flush=True)


async def _be_spoken_to(caller: Caller, client: CallsClient, sounds_ms: list[float]) -> None:
    """Another text whenever the last one is over; what is not heard in time counts with how long it was waited for."""
    for number in count(1):
        await caller.silence(PAUSE_S)
        handed_s = heard_s = time.monotonic()
        try:
            await client.say(caller.id, f"This is number {number}.")
            heard_s = await caller.voice(handed_s)
        except Rejected:
            await asyncio.sleep(PAUSE_S)
        except EOFError:
            return
        finally:
            sounds_ms.append(((heard_s if heard_s > handed_s else time.monotonic()) - handed_s) * 1000)


def _figures(callers: list[Caller], since_s: float, until_s: float, sounds_ms: list[float]) -> dict[str, float]:
    """As `Figures` has them."""
    missing = expected = 0
    longest_gap_s = 0.0
    for caller in callers:
        arrivals_s = caller.received.arrivals_s
        first, end = np.searchsorted(arrivals_s, (since_s, until_s))
        arrivals_s = arrivals_s[max(0, first - 1) : end]  # from the last one before: the first gap counts
        due = expected_frames(arrivals_s, until_s)
        missing += max(0, due - len(arrivals_s))
        expected += due
        longest_gap_s = max(longest_gap_s, *np.diff(arrivals_s, append=until_s))
    return {
        "missing": missing,
        "expected": expected,
        "longest_gap_ms": longest_gap_s * 1000,
        "first_sound_ms": max(sounds_ms, default=0.0),
        "late_ms": max(caller.late_s for caller in callers) * 1000,
    }


if __name__ == "__main__":
    uvloop.run(_call(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
