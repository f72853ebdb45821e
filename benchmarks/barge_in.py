"""Barge-in: from the request for an interrupt to the last voiced frame, with one call and with many."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import numpy as np

from benchmarks.servers import CLIP_TEXT, serving
from bridge.dial.caller import Caller
from bridge.dial.client import CallsClient
from bridge.dial.lateness import Spread
from bridge.line.audiosocket import FRAME_MS

WATCHED_S = 0.2
"""How long a call is listened to after the request. Nothing voiced may come at the end of it."""
BETWEEN_S = 0.04
"""Speech before a call is interrupted, and up to a tick more, so that interrupts meet every phase of the tick."""


async def measure(calls: int, interrupts: int, clip: Path) -> tuple[Spread, int]:
    """Returns the spread in ms over all `interrupts`, and how many calls were not silent afterwards."""
    async with serving("ours", clip) as server, CallsClient(server.http_url) as client:
        callers = [Caller() for _ in range(calls)]
        try:
            for caller in callers:
                await caller.connect("127.0.0.1", server.port)
            shares = [interrupts // calls + (number < interrupts % calls) for number in range(calls)]
            found = await asyncio.gather(
                *(_interrupt_often(caller, client, share) for caller, share in zip(callers, shares, strict=True))
            )
        finally:
            await _hang_up(callers)
    values_ms = [value for one, _ in found for value in one]
    spread = Spread.of(np.array(values_ms))
    assert spread is not None
    return spread, sum(loud for _, loud in found)


async def _interrupt_often(caller: Caller, client: CallsClient, times: int) -> tuple[list[float], int]:
    values_ms, loud = [], 0
    await asyncio.sleep((1 + random.random()) * WATCHED_S)  # when the server knows the call; not all calls at once
    for _ in range(times):
        handed_s = time.monotonic()
        await client.say(caller.id, CLIP_TEXT)
        await caller.voice(handed_s)
        await asyncio.sleep(BETWEEN_S + random.random() * FRAME_MS / 1000)
        requested_s = time.monotonic()
        await client.interrupt(caller.id)
        await asyncio.sleep(requested_s + WATCHED_S - time.monotonic())
        last_s = caller.received.last_voiced_s(requested_s, requested_s + WATCHED_S)
        value_ms = 0.0 if last_s is None else (last_s - requested_s) * 1000
        values_ms.append(value_ms)
        loud += value_ms > WATCHED_S * 1000 - 2 * FRAME_MS
    return values_ms, loud


async def _hang_up(callers: list[Caller]) -> None:
    connected = [caller for caller in callers if caller.connected]
    for caller in connected:
        caller.hang_up()
    await asyncio.gather(*(caller.ended.wait() for caller in connected))
