"""An engine whose words can be counted in its sound.

As a replica: python -m tests.support.counting_engine engine
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from engine.speech import Engine, Pcm, SpeechError, Style, UnknownVoice, Voice
from engine.status import EngineStatus

RATE_HZ = 24_000
WORD_SAMPLES = 2_400
PIECE_SAMPLES = 480
PACE_VARIABLE = "COUNTING_PIECE_S"


def counted(words: int) -> Pcm:
    """What the engine says for so many words: 100 ms each, every one at a level of its own."""
    return np.repeat(np.arange(1, words + 1, dtype=np.int16) * 100, WORD_SAMPLES)


class CountingEngine(Engine):
    """Says a word after the other, a piece of 20 ms every `piece_s`, and tells when they begin."""

    name = "counting"
    sample_rate_hz = RATE_HZ

    def __init__(self, piece_s: float = 0.0, places: int | None = None) -> None:
        self.places = places
        self.fails_after_samples: int | None = None
        """It fails a sentence once it has said so much of it."""
        self.ready = True
        self.styles: list[Style] = []
        self.streams = 0
        self._piece_s = piece_s

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def sound(self, sentence: str) -> Pcm:
        """All that it says for a sentence."""
        return counted(len(sentence.split()))

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        self.styles.append(style)
        self.streams += 1
        try:
            if style.on_word_starts is not None:
                style.on_word_starts(range(0, WORD_SAMPLES * len(sentence.split()), WORD_SAMPLES))
            sound = self.sound(sentence)
            for start in range(0, sound.size, PIECE_SAMPLES):
                if self.fails_after_samples is not None and start >= self.fails_after_samples:
                    raise SpeechError("the engine has had a fault")
                yield sound[start : start + PIECE_SAMPLES]
                await asyncio.sleep(self._piece_s)
        finally:
            self.streams -= 1

    def voices(self) -> Sequence[Voice]:
        return [Voice("one", "One", ("*",))]

    def resolve_voice(self, name: str) -> str:
        if name not in ("", "one"):
            raise UnknownVoice(name, ["one"])
        return "one"

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> EngineStatus:
        return EngineStatus(
            self.name, "counting-1", model_loaded=True, queue_depth=0, capacity=self.places, ready=self.ready
        )


def main() -> int:
    """Runs `talkspurt engine` with this engine."""
    from bridge.__main__ import main as talkspurt
    from bridge.commands import engine as command

    pace_s = float(os.environ.get(PACE_VARIABLE, "0"))
    command.create_lone_engine = lambda *_: CountingEngine(pace_s)  # type: ignore[assignment]
    return talkspurt(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
