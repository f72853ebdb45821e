"""The embedded engine: hibari's English voice on the CPU, in processes of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import unicodedata
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from engine.hibari_worker import HEADER, SAMPLE_RATE_HZ, Job, Kind
from engine.speech import Engine, EngineBusy, Pcm, SpeechError, Style, UnknownVoice, UnspeakableText, Voice

log = logging.getLogger(__name__)

# Loading takes 0.5 s on an idle core; a machine that needs this long cannot speak in time either.
START_TIMEOUT_S = 60.0
# The longest sentence takes 0.15 s; a worker that is silent for this long hangs.
JOB_TIMEOUT_S = 20.0
RESTART_DELAYS_S = (0.0, 0.1, 0.5, 2.0, 5.0)


@dataclass(eq=False, slots=True)
class _Request:
    """One sentence on its way through a worker."""

    job: Job
    cancelled: bool = False
    answers: asyncio.Queue[Pcm | SpeechError | None] = field(default_factory=asyncio.Queue)
    """PCM, then None at the end, or the error that ended it."""


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> _Worker:
        """Raises SpeechError when it does not come up."""
        root = str(Path(__file__).parent.parent)
        environment = os.environ | {
            "ORT_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "engine.hibari_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        worker = cls(process)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                kind, payload = await worker._receive()
            if kind != Kind.READY:
                raise SpeechError(payload.decode())
        except TimeoutError:
            await worker.close()
            raise SpeechError(f"hibari's worker did not start within {START_TIMEOUT_S:.0f} s") from None
        except BaseException:
            await worker.close()
            raise
        return worker

    async def work(self, request: _Request) -> None:
        """Have one request made. Raises SpeechError when the process is lost."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.job.line())
            async with asyncio.timeout(JOB_TIMEOUT_S):
                while True:
                    kind, payload = await self._receive()
                    match kind:
                        case Kind.PCM:
                            request.answers.put_nowait(np.frombuffer(payload, np.int16))
                        case Kind.END:
                            return request.answers.put_nowait(None)
                        case Kind.UNSPEAKABLE:
                            return request.answers.put_nowait(_unspeakable(request.job.text))
                        case _:
                            return request.answers.put_nowait(SpeechError(payload.decode()))
        except TimeoutError:
            raise SpeechError("hibari's worker hung and was ended") from None
        except OSError as error:
            raise SpeechError(f"hibari's worker was lost: {error}") from error

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        # Its input too, or the transport stays open after the process is gone.
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _receive(self) -> tuple[Kind, bytes]:
        assert self._process.stdout is not None
        try:
            kind, length = HEADER.unpack(await self._process.stdout.readexactly(HEADER.size))
            return Kind(kind), await self._process.stdout.readexactly(length)
        except asyncio.IncompleteReadError:
            raise SpeechError(
                f"hibari's worker ended unexpectedly (exit status {await self._process.wait()})"
            ) from None


class HibariEngine(Engine):
    """English, one voice, some fifty times faster than real time on one core; no model to fetch, no key."""

    name = "hibari"
    sample_rate_hz = SAMPLE_RATE_HZ
    # A sentence comes out of the network whole: 80 characters take 20 ms, the longest 70.
    first_sentence_chars = 80

    def __init__(self, workers: int = 1, max_queue_depth: int = 256) -> None:
        """`workers` processes of one thread each; `max_queue_depth` sentences may wait for them."""
        self._workers = workers
        self._max_queue_depth = max_queue_depth
        self._waiting = 0
        self._numbers = count()
        self._queue: asyncio.PriorityQueue[tuple[int, float, int, _Request]] = asyncio.PriorityQueue()
        self._unfinished: set[_Request] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._running = 0
        self._warning = ""

    async def start(self) -> None:
        workers = await asyncio.gather(*(_Worker.start() for _ in range(self._workers)), return_exceptions=True)
        started = [worker for worker in workers if isinstance(worker, _Worker)]
        if len(started) < self._workers:
            await asyncio.gather(*(worker.close() for worker in started))
            raise next(error for error in workers if isinstance(error, BaseException))
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in started]

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_all(SpeechError("the engine was closed"))

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        self.resolve_voice(style.voice)
        _check_speakable(sentence)
        if not self._tasks:
            raise SpeechError("hibari is not running")
        if self._waiting >= self._max_queue_depth:
            raise EngineBusy(f"{self._waiting} sentences are waiting")
        request = _Request(Job(sentence, style.speed, style.seed or 0))
        self._unfinished.add(request)
        self._waiting += 1
        self._queue.put_nowait((style.priority, asyncio.get_running_loop().time(), next(self._numbers), request))
        try:
            while (answer := await request.answers.get()) is not None:
                if isinstance(answer, SpeechError):
                    raise answer
                yield answer
        finally:
            request.cancelled = True
            self._unfinished.discard(request)

    def voices(self) -> Sequence[Voice]:
        return [Voice("heart", "Heart", ("en",))]

    def resolve_voice(self, name: str) -> str:
        if name.strip().lower() in ("", "heart"):
            return "heart"
        raise UnknownVoice(name, ["heart"])

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> Mapping[str, Any]:
        return {
            "engine": self.name,
            "model_id": "hibari-tts/heart",
            "model_loaded": self._running > 0,
            "queue_depth": self._waiting,
            "max_queue_depth": self._max_queue_depth,
            "workers": self._running,
            "warnings": [self._warning] if self._warning else [],
        }

    async def _serve(self, worker: _Worker) -> None:
        """Feed one worker; put another in its place when it dies."""
        while True:
            self._running += 1
            try:
                await self._feed(worker)
            except SpeechError as error:
                log.error("%s; starting another", error)
            finally:
                self._running -= 1
                await worker.close()
            worker = await self._replace()

    async def _feed(self, worker: _Worker) -> None:
        while True:
            *_, request = await self._queue.get()
            self._waiting -= 1
            if request.cancelled:
                continue
            try:
                await worker.work(request)
            except SpeechError as error:
                request.answers.put_nowait(error)
                raise

    async def _replace(self) -> _Worker:
        for attempt in count():
            await asyncio.sleep(RESTART_DELAYS_S[min(attempt, len(RESTART_DELAYS_S) - 1)])
            try:
                worker = await _Worker.start()
            except (SpeechError, OSError) as error:
                log.error("hibari's worker does not start: %s", error)
                self._warning = str(error)
                if not self._running:
                    self._fail_all(SpeechError(str(error)))
            else:
                self._warning = ""
                return worker
        raise AssertionError("unreachable")

    def _fail_all(self, error: SpeechError) -> None:
        for request in self._unfinished:
            request.answers.put_nowait(error)


def _check_speakable(text: str) -> None:
    """Raise UnspeakableText for what is not written in Latin letters or digits, for the most part."""
    latin = other = 0
    for char in text:
        if char.isascii():
            latin += char.isalnum()
        elif char.isalpha():
            is_latin = unicodedata.name(char, "").startswith("LATIN")
            latin, other = latin + is_latin, other + (not is_latin)
    if latin <= other:
        raise _unspeakable(text)


def _unspeakable(text: str) -> UnspeakableText:
    return UnspeakableText(f"hibari speaks English only and has no sounds for {text[:60]!r}")
