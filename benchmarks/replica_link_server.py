"""`talkspurt engine` with sound already made, for `benchmarks.replica_link`.

Run it as: python -m benchmarks.replica_link_server engine
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import numpy as np

from bridge.__main__ import main
from bridge.commands import engine as command
from engine.speech import Engine, Pcm, Style, Voice
from engine.status import EngineStatus

RATE_HZ: Final = 24_000
CHUNK_S: Final = 0.08
STEP_S: Final = 0.02
"""A batch makes a frame for all its sentences at once: what is due within a step leaves together."""
AT_ONCE: Final = "at once"
"""A sentence of which there is one chunk, without waiting."""


class PacedEngine(Engine):
    """Noise, a chunk of 80 ms every 80 ms, the first one at once. A sentence's text says how many chunks it has."""

    name = "paced"
    sample_rate_hz = RATE_HZ

    def __init__(self) -> None:
        noise = np.random.default_rng(0).normal(0, 3_000, round(CHUNK_S * RATE_HZ))
        self._chunk: Pcm = noise.astype(np.int16)

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        yield self._chunk
        if sentence == AT_ONCE:
            return
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for _ in range(int(sentence) - 1):
            due_s += CHUNK_S
            step_s = (due_s // STEP_S + 1) * STEP_S
            await asyncio.sleep(step_s - loop.time())
            yield self._chunk

    def voices(self) -> Sequence[Voice]:
        return [Voice("one", "One", ("*",))]

    def resolve_voice(self, name: str) -> str:
        return "one"

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> EngineStatus:
        return EngineStatus(self.name, "paced", model_loaded=True, queue_depth=0, capacity=10_000)


def create_paced_engine(*_: Any, **__: Any) -> PacedEngine:
    """Takes the place of `engine.registry.create_lone_engine`."""
    return PacedEngine()


if __name__ == "__main__":
    command.create_lone_engine = create_paced_engine  # type: ignore[assignment]
    sys.exit(main())
