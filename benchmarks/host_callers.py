"""Some of the callers of `benchmarks.host`, in a process of their own: python -m benchmarks.host_callers PLAN

Each caller talks with the agent: it says something, waits for the answer, hears it to its end, and goes on after a
while. PLAN is the JSON of a `Plan`; its times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.machine import Usage
from bridge.dial.caller import Caller, CannotCall, Close
from bridge.dial.lateness import expected_frames, lateness_ms
from engine.speech import Pcm

SAID_S: Final = 1.2
SAID_LEVEL: Final = 4_000
AGENT_SILENT_S: Final = 0.6
THINKS_S: Final = (0.2, 1.2)
"""How long a caller waits before it speaks, once the agent has finished."""
PATIENCE_S: Final = 8.0
"""A caller that has had no answer for so long says it once more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the callers of one process do."""

    host: str
    port: int
    calls: int
    begin_s: float
    """When the first one connects."""
    joined_s: float
    """When the last one does."""
    from_s: float
    """From here on frames are measured."""
    until_s: float
    """Here all hang up."""
    seed: int
    out: str
    """The file to which what was found is pickled."""


@dataclass(slots=True)
class Found:
    """What the callers of one process found."""

    late_ms: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """Of every frame that came while it was measured."""
    missing: int = 0
    voiced: int = 0
    heard: list[tuple[str, float]] = field(default_factory=list)
    """The call, and when the first voiced frame of an answer came."""
    unanswered: int = 0
    not_connected: int = 0
    ended: int = 0
    """The calls that the server ended."""
    own_late_ms: float = 0.0
    own_share: float = 0.0
    """The share of a core that this process took while it was measured."""


async def line(caller: Caller, plan: Plan, at_s: float, chance: Random, said: Pcm, found: Found) -> None:
    """One call, from its beginning until it is hung up."""
    await asyncio.sleep(at_s - time.monotonic())
    try:
        await caller.connect(plan.host, plan.port)
    except CannotCall:
        found.not_connected += 1
        return
    try:
        async with asyncio.timeout(plan.until_s - time.monotonic()):
            await caller.silence(AGENT_SILENT_S)  # of its greeting, if there is one
            while True:
                await asyncio.sleep(chance.uniform(*THINKS_S))
                _, over_s = caller.speak(said)
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        found.heard.append((str(caller.id), await caller.voice(over_s)))
                except TimeoutError:
                    found.unanswered += time.monotonic() < plan.until_s
                    continue
                await caller.silence(AGENT_SILENT_S)
    except (TimeoutError, EOFError):
        pass


def measure(caller: Caller, plan: Plan, found: Found) -> NDArray[np.float64]:
    """Adds what one call received; returns how late its frames were."""
    received = caller.received
    within = (received.arrivals_s >= plan.from_s) & (received.arrivals_s <= plan.until_s)
    arrivals_s = received.arrivals_s[within]
    found.missing += max(0, expected_frames(arrivals_s, plan.until_s) - arrivals_s.size)
    found.voiced += int(received.voiced[within].sum())
    found.own_late_ms = max(found.own_late_ms, caller.late_s * 1000)
    found.ended += caller.by_server or caller.close is Close.RESET
    return lateness_ms(arrivals_s, received.positions_s[within])


async def watch(plan: Plan, found: Found) -> None:
    """Notes what this process took of its core while it was measured."""
    await asyncio.sleep(plan.from_s - time.monotonic())
    before = Usage.now(os.getpid())
    await asyncio.sleep(plan.until_s - time.monotonic())
    found.own_share = Usage.now(os.getpid()).share_since(before)[0]


async def run(plan: Plan) -> Found:
    """Places the calls, and returns what was found once all have ended."""
    found, chance = Found(), Random(plan.seed)
    noise = np.random.default_rng(plan.seed).normal(0, SAID_LEVEL, round(SAID_S * 8_000))
    said = noise.clip(-32768, 32767).astype(np.int16)
    callers = [Caller() for _ in range(plan.calls)]
    every_s = (plan.joined_s - plan.begin_s) / plan.calls
    gc.collect()
    gc.freeze()
    watching = asyncio.create_task(watch(plan, found))
    lines = [
        asyncio.create_task(line(caller, plan, plan.begin_s + number * every_s, Random(chance.random()), said, found))
        for number, caller in enumerate(callers)
    ]
    await asyncio.gather(*lines, watching)
    for caller in callers:
        caller.hang_up()
        await asyncio.sleep(0.002)
    up = [caller for caller in callers if caller.connected]
    await asyncio.gather(*(caller.ended.wait() for caller in up))
    late_ms = [measure(caller, plan, found) for caller in up]
    found.late_ms = np.concatenate([*late_ms, np.zeros(0)]).astype(np.float32)
    return found


def found_of(plan: Plan) -> Found:
    """Returns what the process with that plan found."""
    return Found(**pickle.loads(Path(plan.out).read_bytes()))


def main() -> None:
    told: dict[str, Any] = json.loads(sys.argv[1])
    plan = Plan(**told)
    Path(plan.out).write_bytes(pickle.dumps(asdict(uvloop.run(run(plan)))))


if __name__ == "__main__":
    main()
