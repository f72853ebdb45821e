"""Makes the speech of the demo's callers and puts it into a call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np

from bridge.dial.caller import Caller
from engine.audio import resample
from engine.hibari import HibariEngine
from engine.pipeline import speak
from engine.speech import Engine, Pcm, Style

RATE_HZ: Final = 8_000
CALLER_SPEED: Final = 1.2
CALLER_PITCH: Final = 0.82
"""The caller has the agent's voice, but lower: it is spoken faster (`CALLER_SPEED`), then played slower by this."""


@asynccontextmanager
async def embedded_voice() -> AsyncIterator[Engine]:
    """Yields the embedded engine, started, and closes it afterwards."""
    engine = HibariEngine()
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def caller_lines(engine: Engine, *texts: str) -> dict[str, Pcm]:
    """Returns each of `texts` with its speech at 8 kHz, in the caller's voice."""
    pitch_hz = round(engine.sample_rate_hz * CALLER_PITCH)
    return {text: resample(await speech_of(engine, text, CALLER_SPEED), pitch_hz, RATE_HZ) for text in texts}


async def speech_of(engine: Engine, text: str, speed: float = 1.0) -> Pcm:
    """Returns the whole speech of a text, at the engine's rate."""
    return np.concatenate([chunk.pcm async for chunk in speak(engine, text, Style(speed=speed))])


def begin_to_speak(caller: Caller, pcm: Pcm) -> tuple[float, float]:
    """Has the caller say `pcm`; returns when it begins and when it will have ended."""
    start_s = caller.first_sent_s + len(caller.handset.spoken) / (2 * RATE_HZ)
    caller.handset.speak(pcm.astype("<i2").tobytes())
    return start_s, start_s + pcm.size / RATE_HZ
