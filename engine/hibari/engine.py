"""hibari as an engine: workers make the sentences of a queue, the most urgent first."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Final

import structlog

from engine.hibari import pico
from engine.hibari.chunks import SAMPLE_RATE_HZ
from engine.hibari.messages import Speak, unspeakable
from engine.hibari.process import Request, WorkerProcess
from engine.hibari.voices import DEFAULT, VARIANTS
from engine.speech import Engine, EngineBusy, Pcm, SpeechError, Style, UnknownVoice, UnspeakableText, Voice
from engine.status import EngineStatus

log = structlog.get_logger(__name__)

# Sentences that may wait: four for each of 500 calls, which are made in well under a minute.
MAX_QUEUE_DEPTH: Final = 2048
# A worker is given so much at once at the voice's own pace, and less where it is slower: 11 s of prose. It takes
# a third of a second at most, and between two of them a call's sentence comes first. What may be spelled counts more.
JOB_CHARS: Final = 200
SPELLED: Final = 4
# Before another attempt to start a worker; the last one again and again.
RESTART_DELAYS_S: Final = (0.0, 0.1, 0.5, 2.0, 5.0)


class HibariEngine(Engine):
    """Speaks English with one trained voice and others drawn from it, on one core fifty times faster than real time.

    Other languages are SVOX Pico's, where it is installed.
    """

    name = "hibari"
    sample_rate_hz = SAMPLE_RATE_HZ
    # The network makes a sentence whole: 80 characters take it 15 ms, 300 take 65.
    first_sentence_chars = 80
    takes_ipa = True

    def __init__(self, workers: int = 1, max_queue_depth: int = MAX_QUEUE_DEPTH) -> None:
        """`workers` processes of one thread each; `max_queue_depth` sentences may wait for them."""
        self._size = workers
        self._max_queue_depth = max_queue_depth
        self._languages = ("en", *pico.languages())
        self._numbers = count()
        self._queue: asyncio.PriorityQueue[tuple[int, float, int, Request]] = asyncio.PriorityQueue()
        self._waiting: set[Request] = set()
        self._unfinished: set[Request] = set()
        self._workers: set[WorkerProcess] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._warning = ""

    async def start(self) -> None:
        started = await asyncio.gather(*(WorkerProcess.start() for _ in range(self._size)), return_exceptions=True)
        workers = [worker for worker in started if isinstance(worker, WorkerProcess)]
        failures = [failure for failure in started if isinstance(failure, BaseException)]
        if failures:
            await asyncio.gather(*(worker.close() for worker in workers))
            raise failures[0]
        self._workers.update(workers)
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in workers]

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._workers))  # those of tasks that had not begun
        self._workers.clear()
        self._fail_all(SpeechError("hibari was closed"))

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        voice = self.resolve_voice(style.voice)
        language = self._language_of(style.language)
        _check_speakable(sentence, language)
        if not self._tasks:
            raise SpeechError("hibari is not running")
        if len(self._waiting) >= self._max_queue_depth:
            raise EngineBusy(f"{len(self._waiting)} sentences are waiting for hibari")
        made, unspeakable = 0, None
        # Pico reads out each sign by its name, and no bound can be put on what it makes of a job.
        for text in jobs_of(sentence, int(JOB_CHARS * min(1.0, style.speed)), within_words=language != "en"):
            told = style.on_word_starts is not None
            job = Speak(text, voice, style.speed, style.seed or 0, language=language, word_starts=told)
            try:
                async with aclosing(self._answers(job, style)) as answers:
                    async for answer in answers:
                        if not isinstance(answer, list):
                            yield answer
                            made += answer.size
                        elif style.on_word_starts:
                            style.on_word_starts([made + start for start in answer])
            except UnspeakableText as error:
                unspeakable = error
                if style.on_word_starts and language == "en":
                    style.on_word_starts([made] * len(text.split()))
        if unspeakable and not made:
            raise unspeakable

    async def _answers(self, job: Speak, style: Style) -> AsyncGenerator[Pcm | list[int], None]:
        """Yields what a worker answers to one job. Raises its SpeechError."""
        request = Request(job)
        needed_at_s = style.needed_at_s if style.needed_at_s is not None else asyncio.get_running_loop().time()
        self._unfinished.add(request)
        self._waiting.add(request)
        self._queue.put_nowait((style.priority, needed_at_s, next(self._numbers), request))
        try:
            while (answer := await request.answers.get()) is not None:
                if isinstance(answer, SpeechError):
                    raise answer
                yield answer
        finally:
            self._waiting.discard(request)
            self._unfinished.discard(request)

    def voices(self) -> Sequence[Voice]:
        return [Voice(name, name.replace("_", " ").title(), self._languages) for name in VARIANTS]

    def resolve_voice(self, name: str) -> str:
        voice = name.strip().lower() or DEFAULT
        if voice not in VARIANTS:
            raise UnknownVoice(name, list(VARIANTS))
        return voice

    def _language_of(self, code: str | None) -> str:
        """Returns which of the languages a style asks for. Raises UnspeakableText where it is none of them."""
        language = (code or "en").lower().replace("_", "-").split("-")[0]
        if language not in self._languages:
            only = "English only" if self._languages == ("en",) else ", ".join(self._languages)
            raise UnspeakableText(f"hibari speaks {only}, not {code!r}")
        return language

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> EngineStatus:
        return EngineStatus(
            engine=self.name,
            model_id=f"hibari-tts/{DEFAULT}",
            model_loaded=bool(self._workers),
            queue_depth=len(self._waiting),
            warnings=(self._warning,) if self._warning else (),
            details={"max_queue_depth": self._max_queue_depth, "workers": len(self._workers)},
        )

    async def _serve(self, worker: WorkerProcess) -> None:
        """Feeds one worker; when it is lost, puts another in its place."""
        while True:
            try:
                await self._feed(worker)
            except SpeechError as error:
                log.error("a worker is lost; starting another", error=str(error))
            finally:
                self._workers.discard(worker)
                await worker.close()
            worker = await self._replace()

    async def _feed(self, worker: WorkerProcess) -> None:
        """Gives a worker one request after the other until it is lost; the request at hand is lost with it."""
        lost = asyncio.create_task(worker.ended())
        try:
            while True:
                request = await self._next(lost)
                try:
                    await worker.work(request)
                except SpeechError as error:
                    request.answers.put_nowait(error)
                    raise
        finally:
            lost.cancel()

    async def _next(self, lost: asyncio.Task[SpeechError]) -> Request:
        """Returns the most urgent request that is still wanted. Raises SpeechError when the worker is lost."""
        while True:
            taking = asyncio.create_task(self._queue.get())
            try:
                await asyncio.wait((taking, lost), return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    if taking.done():
                        self._queue.put_nowait(taking.result())
                    raise lost.result()
            finally:
                taking.cancel()
            *_, request = taking.result()
            if request in self._waiting:
                self._waiting.discard(request)
                return request

    async def _replace(self) -> WorkerProcess:
        for attempt in count():
            await asyncio.sleep(RESTART_DELAYS_S[min(attempt, len(RESTART_DELAYS_S) - 1)])
            try:
                worker = await WorkerProcess.start()
            except SpeechError as error:
                log.error("no worker starts; trying again", error=str(error))
                self._warning = str(error)
                if not self._workers:  # better an error now than a caller who waits in silence
                    self._fail_all(error)
            else:
                self._warning = ""
                self._workers.add(worker)
                return worker
        raise AssertionError

    def _fail_all(self, error: SpeechError) -> None:
        self._waiting.clear()
        for request in self._unfinished:
            request.answers.put_nowait(error)


def jobs_of(text: str, limit: int, *, within_words: bool = False) -> Iterator[str]:
    """Yields a text in parts of about `limit` characters at most, each ending with a clause or else with a word.

    A longer word is a part of its own, or several where it may be parted `within_words`.
    """
    while (fits := _fitting(text, limit)) < len(text):
        end = max(text.rfind(mark, fits // 2, fits) + 1 for mark in (", ", "; ", ": ", ". "))
        end = end or text.rfind(" ", 1, fits)
        if end < 1:
            end = max(1, fits) if within_words else text.find(" ", fits)
        if end < 1:
            break
        yield text[:end]
        text = text[end:].lstrip()
    if text:
        yield text


def _fitting(text: str, limit: int) -> int:
    """Returns how many characters of a text come to `limit`; capitals, digits and signs count SPELLED times."""
    counted = 0
    for place, char in enumerate(text):
        counted += SPELLED if char.isupper() or not (char.isalpha() or char in " ,.;:!?'") else 1
        if counted > limit:
            return place
    return len(text)


def _check_speakable(text: str, language: str) -> None:
    """Raises UnspeakableText for a text mostly not in Latin letters or digits."""
    latin = other = 0
    for char in text:
        if char.isascii():
            latin += char.isalnum()
        elif char.isalpha():
            is_latin = unicodedata.name(char, "").startswith("LATIN")
            latin, other = latin + is_latin, other + (not is_latin)
    if latin <= other:
        raise unspeakable(text, language)
