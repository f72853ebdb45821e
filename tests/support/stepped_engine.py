"""An engine that makes as many chunks as a test allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from engine.speech import Engine, Pcm, SpeechError, Style, UnspeakableText, Voice
from engine.status import EngineStatus

RATE_HZ = 1000
LEVEL = 100
"""Every sample of the first sentence; that of the second is twice as high, and so on."""


class SteppedEngine(Engine):
    """Makes a chunk when the test says so: `allow(n)`. A sentence is two chunks, as loud as its number says."""

    name = "stepped"
    sample_rate_hz = RATE_HZ

    def __init__(self, free: bool = False) -> None:
        self._steps = asyncio.Semaphore(1_000_000 if free else 0)
        self.begun: list[str] = []
        self.styles: list[Style] = []
        self.open = 0
        """Streams now open."""
        self.changed = asyncio.Event()
        """Set when a stream begins or ends."""
        self.failures: dict[str, SpeechError] = {}

    def allow(self, chunks: int) -> None:
        for _ in range(chunks):
            self._steps.release()

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        self.begun.append(sentence)
        self.styles.append(style)
        self.open += 1
        self.changed.set()
        try:
            if isinstance(self.failures.get(sentence), UnspeakableText):
                raise self.failures[sentence]
            for _ in range(2):
                await self._steps.acquire()
                yield np.full(RATE_HZ // 10, LEVEL * len(self.begun), np.int16)
            if sentence in self.failures:
                raise self.failures[sentence]
        finally:
            self.open -= 1
            self.changed.set()

    async def until_begun(self, sentences: int) -> None:
        while len(self.begun) < sentences:
            self.changed.clear()
            await self.changed.wait()

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def voices(self) -> Sequence[Voice]:
        return [Voice("one", "One", ("*",))]

    def resolve_voice(self, name: str) -> str:
        return "one"

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> EngineStatus:
        return EngineStatus("scripted", "", model_loaded=True, queue_depth=0)
