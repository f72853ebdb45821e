"""How the tests of the engine ask it to speak, and what they see of the process that stands in for its model."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.qwen3.host.engine import Qwen3Engine
from engine.speech import Style, VoiceReference

REQUEST_TIMEOUT_S = 300.0
FAKE = str(Path(__file__).parents[3] / "support" / "qwen3" / "fake_worker.py")


async def say(engine: Qwen3Engine, text: str, **style: Any) -> int:
    """Returns how many samples a sentence has."""
    return sum([len(pcm) async for pcm in engine.stream(text, Style(**style))])


async def until(engine: Qwen3Engine, holds: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """Returns the first status, as /health shows it, for which `holds` is true: the fake process beats often."""
    async with asyncio.timeout(60):
        while not holds(status := engine.status().told()):  # noqa: ASYNC110 (there is no event for what a process does)
            await asyncio.sleep(0.002)
    return status


def a_reference(seconds: float = 1.0, level: int = 1) -> VoiceReference:
    return VoiceReference(np.full(int(24000 * seconds), level, np.int16), 24000, "As I said.")


async def seen(engine: Qwen3Engine, number: int) -> list[Any]:
    """Returns the first commands that reached the process."""
    return (await until(engine, lambda status: len(status.get("seen", ())) >= number))["seen"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
