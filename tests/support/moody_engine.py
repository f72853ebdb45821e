"""An engine that is slow, or fails, where the sentence says so.

As a replica: python -m tests.support.moody_engine engine
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import numpy as np

from engine.speech import Pcm, SpeechError, Style
from tests.support.counting_engine import WORD_SAMPLES, CountingEngine

SLOW_PIECE_S: Final = 0.05
"""How long it takes to make a piece of 20 ms of a slow sentence."""


class MoodyEngine(CountingEngine):
    """Says 100 ms for each letter."""

    def sound(self, sentence: str) -> Pcm:
        return np.full(len(sentence) * WORD_SAMPLES, 8_000, np.int16)

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if "broken" in sentence.lower():
            raise SpeechError("out of order")
        async with aclosing(super().stream(sentence, style)) as pieces:
            async for pcm in pieces:
                yield pcm
                if "slow" in sentence.lower():
                    await asyncio.sleep(SLOW_PIECE_S)


def main() -> int:
    """Runs `talkspurt engine` with this engine."""
    from bridge.__main__ import main as talkspurt
    from bridge.commands import engine as command

    command.create_lone_engine = lambda *_: MoodyEngine()  # type: ignore[assignment]
    return talkspurt(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
