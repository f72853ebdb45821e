"""Turns a text, whole or still being written, into audio in order: sentence N + 1 is made while N is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import Final

import numpy as np
import structlog

from engine import language, normalize
from engine.first_sound import FirstSound
from engine.loop_share import loop_share
from engine.markup import Mark, Pause, without_markup
from engine.pronunciation import Pronounced, as_written
from engine.speech import MAX_SPEED, MIN_SPEED, Chunk, Engine, EngineBusy, Priority, SpeechError, Style, UnspeakableText
from engine.text import break_words, pause_after_ms, sentences
from engine.word_cutter import WordCutter

log = structlog.get_logger(__name__)

# Sentences made beyond the one being sent. One hides the making of the next; more would be thrown away at a barge-in.
SENTENCES_AHEAD: Final = 1
# Between two attempts at a busy engine: short beside what a caller notices, long beside what asking costs.
BUSY_RETRY_S: Final = 0.1
# What is made of one sentence. 300 characters of prose at a quarter of the pace take 80 s; hundreds of letters and
# numbers can take ten minutes.
MAX_SENTENCE_S: Final = 120
OPENING_CHARS: Final = 1000
"""The part of a text from which its language is told: what is left of it without its tags tells enough."""
SILENCE_MS: Final = 100
"""The length of the pieces of a pause."""
# Writing out takes from two to a hundred milliseconds a sentence, and keeps the interpreter from the event loop for up
# to seven at a time, of each thread that does it. Calls have one, which waits for nobody else; all others have another.
_CALLS_THREAD: Final = ThreadPoolExecutor(1, "text-of-calls")
_OTHERS_THREAD: Final = ThreadPoolExecutor(1, "text")


class _Mark(Enum):
    SENTENCE_END = auto()
    END = auto()


async def speak(
    engine: Engine,
    text: str | AsyncIterable[str],
    style: Style,
    *,
    normalize: bool = True,
    busy_wait_s: float = 0.0,
    by_word: bool = False,
    language: str = "en",
    opening_chars: int | None = None,
    on_sentence: Callable[[], None] = lambda: None,
    on_language: Callable[[str], None] = lambda language: None,
) -> AsyncGenerator[Chunk, None]:
    """Speaks a text sentence by sentence. Yields chunks in order; a sentence's first carries its text as written.

    All of them, pauses too, are at the rate that the engine has for the style (`Engine.rate_hz`).

    With `by_word`, where the engine tells when its words begin, a chunk begins with each and carries that word instead.
    `on_sentence` is called whenever a sentence is whole and its turn to be made has come.

    The first sentence leaves as soon as it is made, and is broken off near `opening_chars`, or earlier where the engine
    asks for that; between sentences lies a pause as their end marks ask for. With `normalize`, the engine gets numbers,
    dates and the like written out. The language, unless the style names it, is the one that can be told from the text,
    of which `on_language` is told; until then sentences are told apart, and numbers are written out, as in `language`.

    A sentence that the engine has no sounds for is left out with a warning; when nothing else was spoken either, its
    UnspeakableText is raised. A sentence for which the engine is busy is tried again for `busy_wait_s`. Any
    other error comes after all that was made before it. Closing the generator ends everything that goes on for it: the
    sentence being made, the one made ahead, the source of the text.
    """
    maker = _Maker(engine, style, normalize, busy_wait_s, by_word, language, opening_chars, on_sentence, on_language)
    task = asyncio.create_task(maker.run(text))
    task.add_done_callback(lambda _: maker.made.put_nowait(_Mark.END))
    try:
        while (item := await maker.made.get()) is not _Mark.END:
            if isinstance(item, Chunk):
                yield item
            else:
                maker.allowed.release()
        if task.cancelled():
            raise SpeechError("the source of the text was cancelled")
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Maker:
    """Makes one sentence after the other, as far ahead of the consumer as is allowed."""

    def __init__(
        self,
        engine: Engine,
        style: Style,
        write_out: bool,
        busy_wait_s: float,
        by_word: bool,
        call_language: str,
        opening_chars: int | None,
        on_sentence: Callable[[], None],
        on_language: Callable[[str], None],
    ) -> None:
        self.made: asyncio.Queue[Chunk | _Mark] = asyncio.Queue()
        """The chunks that were made, and a mark after each sentence."""
        self.allowed = asyncio.Semaphore(1 + SENTENCES_AHEAD)
        """A permit for each sentence that may be made ahead; the consumer releases one after each sentence."""
        self._engine, self._style, self._write_out = engine, style, write_out
        self._rate_hz = engine.rate_hz(style)
        self._busy_wait_s = busy_wait_s
        self._by_word = by_word
        self._call_language = call_language
        self._opening_chars = min(filter(None, (opening_chars, engine.first_sentence_chars)), default=None)
        self._on_sentence = on_sentence
        self._on_language = on_language
        self._clock = asyncio.get_running_loop().time
        self._played_s = 0.0  # when all that was made so far will have been played
        self._pause_ms = 0  # before the next sentence
        self._rate = 1.0
        self._spoken = False
        self._unspeakable: UnspeakableText | None = None

    async def run(self, text: str | AsyncIterable[str]) -> None:
        """Makes every sentence. Raises what the engine or the source of the text raises."""
        if isinstance(text, str):
            await self._detect(without_markup(text[:OPENING_CHARS]), phrases=self._languages())
        seen = ""
        await self.allowed.acquire()
        source = sentences(text, lambda: self._language, self._opening_chars, self._style.priority)
        async with aclosing(source):
            marked = False
            async for sentence in source:
                if not isinstance(sentence, str):
                    self._obey(sentence)
                    marked = True
                    continue
                if not sentence.strip() or (marked and not any(map(str.isalnum, sentence))):
                    continue  # nothing, or no more than the end mark of what stood before a pause
                sentence, marked = sentence.lstrip() if marked else sentence, False
                self._on_sentence()
                if len(seen) < language.CHARS:
                    seen += as_written(sentence)
                    await self._detect(seen, phrases=())
                if await self._say(sentence):
                    self._pause_ms = pause_after_ms(as_written(sentence)) if self._spoken else self._pause_ms
                    self.made.put_nowait(_Mark.SENTENCE_END)
                    await self.allowed.acquire()
        if self._spoken:
            return
        if self._unspeakable:
            raise self._unspeakable
        self._put_silence(self._pause_ms)

    def _obey(self, mark: Mark) -> None:
        if not isinstance(mark, Pause):
            self._rate = mark.factor
        elif self._spoken:  # in place of the pause of the sentence before
            self._put_silence(mark.ms)
            self._pause_ms = 0
        else:  # with the first audio, so that an engine that cannot speak has said so before
            self._pause_ms += mark.ms

    def _put_silence(self, ms: int) -> None:
        """Puts a pause out in pieces, as a barge-in cuts it like speech.

        Its text begins nothing: the words of the sentence before are not thought to last until the end of the pause.
        """
        left, piece = ms * self._rate_hz // 1000, np.zeros(SILENCE_MS * self._rate_hz // 1000, np.int16)
        text = " "
        while left > 0:
            self._put(Chunk(piece[:left], text, is_pause=True))
            left, text = left - piece.size, ""

    @property
    def _language(self) -> str:
        return self._style.language or self._call_language

    def _languages(self) -> Collection[str]:
        """Returns the languages that the engine speaks."""
        spoken = {code for voice in self._engine.voices() for code in voice.languages}
        return language.PHRASES if "*" in spoken else spoken

    async def _detect(self, text: str, phrases: Collection[str]) -> None:
        """Sets the style's language once it can be told."""
        if self._style.language:
            return
        if not language.is_loaded():
            await asyncio.to_thread(language.load)
        if detected := await loop_share().do(partial(language.detect, text, phrases=phrases), self._style.priority):
            self._style = replace(self._style, language=detected)
            self._on_language(detected)

    async def _written_out(self, text: str) -> str:
        loop = asyncio.get_running_loop()
        thread = _CALLS_THREAD if self._style.priority is Priority.CALL else _OTHERS_THREAD
        # With the first text of the process, at its start, rather than with the first number in the middle of a call.
        if not normalize.is_loaded(self._language):
            await loop.run_in_executor(thread, normalize.load, self._language)
        if normalize.is_plain(text):
            return text
        return await loop.run_in_executor(thread, normalize.normalize, text, self._language)

    async def _say(self, sentence: str) -> bool:
        """Makes one sentence; returns False where the engine has no sounds for it."""
        told = Pronounced(sentence, self._style.lexicon, self._language, takes_ipa=self._engine.takes_ipa)
        spoken = re.sub(r" {2,}", " ", told.text.strip())
        if self._write_out:
            spoken = await self._written_out(spoken)
        spoken = break_words(spoken)
        if not spoken:
            return self._skip(UnspeakableText(f"nothing to be read out in {told.written!r}"))
        cutter = partial(WordCutter, told.written, told.as_words(spoken))
        spoken = told.for_engine(spoken)
        speed = min(max(self._style.speed * self._rate, MIN_SPEED), MAX_SPEED)
        style = replace(self._style, speed=speed, needed_at_s=max(self._played_s, self._clock()))
        give_up_s = self._clock() + self._busy_wait_s
        while True:
            try:
                await self._make(spoken, style, cutter())
            except UnspeakableText as error:
                return self._skip(error)
            except EngineBusy:  # it took nothing, so nothing would be said twice
                if self._clock() >= give_up_s:
                    raise
                await asyncio.sleep(BUSY_RETRY_S)
            else:
                return True

    async def _make(self, spoken: str, style: Style, cutter: WordCutter) -> None:
        if self._by_word:
            style = replace(style, on_word_starts=cutter.tell)
        pause_ms = self._pause_ms
        async with aclosing(self._engine.stream(spoken, style)) as stream:
            left = MAX_SENTENCE_S * self._rate_hz
            sound = FirstSound(spoken, self._rate_hz)
            async for made in stream:
                if made.size > left:
                    log.warning(
                        "cut off a sentence that takes too long", characters=len(spoken), limit_s=MAX_SENTENCE_S
                    )
                    break
                left -= made.size
                for pcm in sound.take(made):
                    self._put_pause(pause_ms)
                    pause_ms = 0
                    self._spoken = True
                    for chunk in cutter.cut(pcm):
                        self._put(chunk)
            else:
                sound.end()
        if rest := cutter.rest():
            self._put(Chunk(np.zeros(0, np.int16), rest))

    def _put_pause(self, ms: int) -> None:
        """Puts out the pause before a sentence."""
        if ms and self._spoken:
            self._put(Chunk(np.zeros(ms * self._rate_hz // 1000, np.int16), is_pause=True))
        elif ms:
            self._put_silence(ms)

    def _skip(self, error: UnspeakableText) -> bool:
        log.warning("left out a sentence", error=type(error).__name__)
        log.debug("left out a sentence", error=str(error))  # it holds the words, perhaps the caller's own
        self._unspeakable = self._unspeakable or error
        return False

    def _put(self, chunk: Chunk) -> None:
        self.made.put_nowait(chunk)
        self._played_s = max(self._played_s, self._clock()) + chunk.pcm.size / self._rate_hz
