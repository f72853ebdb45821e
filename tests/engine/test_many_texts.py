"""Long texts that many clients bring at the same moment are prepared without holding the event loop."""

from __future__ import annotations

import asyncio
from typing import Final

from engine import language, normalize
from engine.pipeline import speak
from engine.speech import Chunk, Priority, Style
from tests.support.stepped_engine import SteppedEngine
from tests.support.turns_of_the_loop import TurnsOfTheLoop

TEXTS: Final = 64
TEXT: Final = "0 " + "This is a long text that nobody hears. " * 100
MOST_S: Final = 0.01


async def test_no_turn_of_the_loop_prepares_many_texts() -> None:
    language.load()
    normalize.load("en")
    language.detect(TEXT)
    engine = SteppedEngine()

    async def first_chunk() -> Chunk:
        return await anext(speak(engine, TEXT, Style(priority=Priority.HTTP)))

    with TurnsOfTheLoop() as turns:
        texts = [asyncio.create_task(first_chunk()) for _ in range(TEXTS)]
        await engine.until_begun(TEXTS)
    assert turns.longest_s < MOST_S
    for text in texts:
        text.cancel()
    await asyncio.gather(*texts, return_exceptions=True)


async def test_a_call_does_not_wait_for_the_texts_of_others() -> None:
    """Neither for their splitting nor for the writing out of their numbers."""
    normalize.load("en")
    engine = SteppedEngine()
    slow = "1 2 3 4 5 " * 29

    async def first_chunk(text: str, priority: Priority) -> Chunk:
        return await anext(speak(engine, text, Style(language="en", priority=priority)))

    texts = [asyncio.create_task(first_chunk(slow, Priority.HTTP)) for _ in range(TEXTS)]
    await engine.until_begun(1)
    begun = len(engine.begun)
    texts.append(asyncio.create_task(first_chunk("It is 5 o'clock.", Priority.CALL)))
    while not any("clock" in sentence for sentence in engine.begun):
        await engine.until_begun(len(engine.begun) + 1)
    assert len(engine.begun) - begun < TEXTS / 4
    for text in texts:
        text.cancel()
    await asyncio.gather(*texts, return_exceptions=True)
