"""First audio with the whole bridge and the embedded voice, and pacing while speech is being made."""

from __future__ import annotations

import asyncio
import re
import time

import aiohttp
import numpy as np

from benchmarks.pacing import SETTLE_S, Round
from benchmarks.pacing import measure as measure_pacing
from benchmarks.servers import Running
from bridge.converse.server_process import ServerProcess, running_server
from bridge.dial.caller import Caller
from bridge.dial.client import CallsClient
from bridge.dial.command import CallPlan
from bridge.dial.lateness import Spread

SHORT = "Your order number {n} is ready for collection."
LONG = (
    "If you would like to talk to one of our colleagues about order number {n}, please have your customer number at "
    "hand, because we will ask you for it, and then choose one of the following options, or simply stay on the line "
    "until somebody answers your call today, which may take up to ten minutes."
)
WHILE_MADE = " ".join(
    f"Announcement number {n}: the train from platform {n} to the main station leaves {n} minutes later today, because "
    "the signals along the coast are being repaired, and we are sorry for the delay that this means for you."
    for n in range(2, 9)
)
"""Over a minute of speech: its sentences are made one ahead of what is sent, so all through the measurement."""
PAUSE_S = 0.15


async def measure(times: int) -> dict[str, Spread]:
    """Returns ms from handing a text over to its first voiced frame, by kind of text; one call, each text new."""
    found: dict[str, list[float]] = {"short": [], "long": []}
    async with running_server(ENGINE="hibari") as server, CallsClient(server.http_url) as client:
        caller = Caller()
        await caller.connect(server.host, server.port)
        try:
            await asyncio.sleep(PAUSE_S)  # the first audio tells the server the call's rate
            for number in range(times):
                for kind, text in (("short", SHORT), ("long", LONG)):
                    found[kind].append(await _time(caller, client, text.format(n=number + 11)))
        finally:
            caller.hang_up()
            await caller.ended.wait()
    return {kind: _spread(values) for kind, values in found.items()}


async def _time(caller: Caller, client: CallsClient, text: str) -> float:
    handed_s = time.monotonic()
    await client.say(caller.id, text)
    first_s = await caller.voice(handed_s)
    await client.interrupt(caller.id)
    await caller.silence(PAUSE_S)
    return (first_s - handed_s) * 1000


def _spread(values: list[float]) -> Spread:
    spread = Spread.of(np.array(values))
    assert spread is not None
    return spread


async def pacing_while_made(calls: int, seconds: float) -> tuple[Round, int]:
    """Returns the lateness with `calls` whose speech is being made meanwhile, and the frames silent for want of it."""
    async with running_server(ENGINE="hibari") as server:
        plan = CallPlan(
            host=server.host,
            port=server.port,
            http_url=server.http_url,
            calls=calls,
            seconds=seconds,
            settle_s=SETTLE_S,
            say=WHILE_MADE,
        )
        return await measure_pacing(Running(server.pid, server.port), plan), await _underruns(server)


async def _underruns(server: ServerProcess) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http_url}/metrics") as response:
        found = re.search(r"^talkspurt_underrun_frames_total (\S+)", await response.text(), re.M)
    assert found is not None
    return int(float(found[1]))
