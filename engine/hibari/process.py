"""One worker process and the pipes to it."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np

from engine.hibari.messages import HEADER, AnswerKind, Speak
from engine.speech import Pcm, SpeechError, UnspeakableText

# Loading takes half a second on an idle core; a machine that needs this long cannot speak in time either.
START_TIMEOUT_S: Final = 60.0
# From when it takes a sentence up, and from one message to the next; not while the sentence waits for its turn. The
# longest takes 0.15 s: a worker that says nothing for this long hangs, and a caller waits in silence meanwhile.
JOB_TIMEOUT_S: Final = 3.0


@dataclass(eq=False, slots=True)
class Request:
    """One sentence on its way through a worker."""

    job: Speak
    answers: asyncio.Queue[Pcm | list[int] | SpeechError | None] = field(default_factory=asyncio.Queue)
    """PCM, and before it where its words begin; then None at the end, or the error that ended it."""


class WorkerProcess:
    """A running worker. It takes one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls) -> Self:
        """Start one and wait until it is ready. Raises SpeechError when it does not get there."""
        root = str(Path(__file__).parents[2])
        environment = os.environ | {
            "ORT_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "engine.hibari.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            raise SpeechError(f"hibari's worker does not start: {error}") from error
        worker = cls(process)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                kind, payload = await worker._receive()
            if kind != AnswerKind.READY:
                raise SpeechError(payload.decode())
        except TimeoutError:
            await worker.close()
            raise SpeechError(f"hibari's worker was not ready after {START_TIMEOUT_S:.0f} s") from None
        except BaseException:
            await worker.close()
            raise
        return worker

    async def work(self, request: Request) -> None:
        """Have one request answered, an error of its own included. Raises SpeechError when the process is lost."""
        try:
            self._stdin.write(request.job.line())
            while True:
                async with asyncio.timeout(JOB_TIMEOUT_S):
                    kind, payload = await self._receive()
                match kind:
                    case AnswerKind.PCM:
                        request.answers.put_nowait(np.frombuffer(payload, np.int16))
                    case AnswerKind.WORD_STARTS:
                        request.answers.put_nowait(np.frombuffer(payload, np.int32).tolist())
                    case AnswerKind.END:
                        return request.answers.put_nowait(None)
                    case AnswerKind.UNSPEAKABLE:
                        return request.answers.put_nowait(unspeakable(request.job.text))
                    case _:
                        return request.answers.put_nowait(SpeechError(payload.decode()))
        except TimeoutError:
            raise SpeechError(f"hibari's worker said nothing for {JOB_TIMEOUT_S:.0f} s") from None

    async def ended(self) -> SpeechError:
        """Wait until the process is gone; what there is to say about that."""
        return SpeechError(f"hibari's worker ended unexpectedly, with status {await self._process.wait()}")

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process.returncode is None:
            self._process.kill()
        self._stdin.close()
        await self._process.wait()

    async def _receive(self) -> tuple[AnswerKind, bytes]:
        try:
            kind, length = HEADER.unpack(await self._stdout.readexactly(HEADER.size))
            return AnswerKind(kind), await self._stdout.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            raise await self.ended() from None


def unspeakable(text: str) -> UnspeakableText:
    """What is raised for a text without English sounds."""
    return UnspeakableText(f"hibari speaks English only and has no sounds for {text[:60]!r}")
