"""The event loop's side of one worker process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Self

from engine.child import ChildLost, ChildProcess
from engine.hibari.messages import Answer, Speak
from engine.speech import SpeechError

WORKER: Final = ("-m", "engine.hibari.worker")
ENVIRONMENT: Final = {"ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Loading takes half a second on an idle core; a machine that needs this long cannot speak in time either.
START_TIMEOUT_S: Final = 60.0
# From when it takes a sentence up, and from one message to the next; not while the sentence waits for its turn. The
# longest takes 0.15 s: a worker that says nothing for this long hangs, and a caller waits in silence meanwhile.
JOB_TIMEOUT_S: Final = 3.0


@dataclass(eq=False, slots=True)
class Request:
    """One sentence on its way through a worker."""

    job: Speak
    answers: asyncio.Queue[Answer] = field(default_factory=asyncio.Queue)


class WorkerProcess(ChildProcess):
    """A running worker. It takes one request at a time."""

    @classmethod
    async def start(cls) -> Self:
        """Starts a worker and waits until it is ready. Raises SpeechError when it does not get there."""
        try:
            worker = await cls.spawn(*WORKER, environment=ENVIRONMENT)
        except OSError as error:
            raise SpeechError(f"hibari's worker does not start: {error}") from error
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                answer = await worker._answer()
            if isinstance(answer, SpeechError):
                raise answer
        except TimeoutError:
            await worker.close()
            raise SpeechError(f"hibari's worker was not ready after {START_TIMEOUT_S:.0f} s") from None
        except BaseException:
            await worker.close()
            raise
        return worker

    async def work(self, request: Request) -> None:
        """Passes on the answers to one request, its own error included. Raises SpeechError when the process is lost."""
        self.send(request.job)
        try:
            while True:
                async with asyncio.timeout(JOB_TIMEOUT_S):
                    answer = await self._answer()
                request.answers.put_nowait(answer)
                if answer is None or isinstance(answer, SpeechError):
                    return
        except TimeoutError:
            raise SpeechError(f"hibari's worker said nothing for {JOB_TIMEOUT_S:.0f} s") from None

    async def ended(self) -> SpeechError:
        """Waits until the process is gone and returns the error that tells so."""
        return _lost(ChildLost(await self.wait()))

    async def _answer(self) -> Answer:
        try:
            answer: Answer = await self.receive()
        except ChildLost as error:
            raise _lost(error) from None
        return answer


def _lost(error: ChildLost) -> SpeechError:
    return SpeechError(f"hibari's worker {error}")
