"""How the tests of hibari ask it to speak, and wait for what its processes do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from engine.hibari import HibariEngine
from engine.hibari.process import WorkerProcess
from engine.speech import Pcm, Style

PLAIN = Style()
HELLO = "Hello there, and thank you for calling."


async def speech(engine: HibariEngine, sentence: str, style: Style = PLAIN) -> list[Pcm]:
    async with aclosing(engine.stream(sentence, style)) as stream:
        return [pcm async for pcm in stream]


def worker_of(engine: HibariEngine) -> WorkerProcess:
    (worker,) = engine._workers
    return worker


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
