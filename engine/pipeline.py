"""A text, whole or still being written, to audio in order: sentence N + 1 is made while sentence N is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from enum import Enum, auto

import numpy as np

from engine.speech import Chunk, Engine, SpeechError, Style, UnspeakableText
from engine.text import pause_after_ms, sentences

log = logging.getLogger(__name__)

# Sentences made beyond the one being sent. One hides the making of the next; more would be thrown away at a barge-in.
SENTENCES_AHEAD = 1


class _Mark(Enum):
    SENTENCE_END = auto()
    END = auto()


async def speak(
    engine: Engine, text: str | AsyncIterable[str], style: Style, *, normalize: bool = True
) -> AsyncGenerator[Chunk, None]:
    """Speak a text sentence by sentence: chunks in order, each sentence's first one carrying its text as written.

    The first sentence leaves as soon as it is made; between sentences lies a pause as their end marks ask for. A
    sentence that the engine has no sounds for is left out with a warning; when nothing else was spoken either, its
    UnspeakableText is raised. Any other error comes after all that was made before it. Closing the generator ends
    everything that goes on for it: the sentence being made, the one made ahead, the source of the text.
    """
    made: asyncio.Queue[Chunk | _Mark] = asyncio.Queue()
    allowed = asyncio.Semaphore(1 + SENTENCES_AHEAD)
    maker = asyncio.create_task(_make(engine, text, style, normalize, made, allowed))
    maker.add_done_callback(lambda _: made.put_nowait(_Mark.END))
    try:
        while (item := await made.get()) is not _Mark.END:
            if isinstance(item, Chunk):
                yield item
            else:
                allowed.release()
        if maker.cancelled():
            raise SpeechError("the source of the text was cancelled")
        maker.result()
    finally:
        maker.cancel()
        await asyncio.gather(maker, return_exceptions=True)


async def _make(
    engine: Engine,
    text: str | AsyncIterable[str],
    style: Style,
    normalize: bool,
    made: asyncio.Queue[Chunk | _Mark],
    allowed: asyncio.Semaphore,
) -> None:
    """Put the chunks of one sentence after the other into `made`, with a mark after each sentence."""
    pause_ms = 0
    spoken = False
    unspeakable: UnspeakableText | None = None
    await allowed.acquire()
    async with aclosing(sentences(text, style.language or "en", engine.first_sentence_chars)) as source:
        async for sentence in source:
            if not sentence.strip():
                continue
            written = sentence
            try:
                async with aclosing(engine.stream(sentence.strip(), style)) as stream:
                    async for pcm in stream:
                        if written and spoken:
                            made.put_nowait(Chunk(np.zeros(pause_ms * engine.sample_rate_hz // 1000, np.int16)))
                        made.put_nowait(Chunk(pcm, written))
                        written, spoken = "", True
            except UnspeakableText as error:
                log.warning("left out a sentence that %s cannot speak: %s", engine.name, error)
                unspeakable = unspeakable or error
                continue
            pause_ms = pause_after_ms(sentence)
            made.put_nowait(_Mark.SENTENCE_END)
            await allowed.acquire()
    if unspeakable and not spoken:
        raise unspeakable
