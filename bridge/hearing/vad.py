"""The local voice activity detector: Silero's model on 32 ms windows of all calls in one batch, off the event loop."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.beep_detector import BeepDetector
from bridge.hearing.events import Voiced
from bridge.hearing.hold_detector import HoldDetector
from bridge.hearing.speech_gate import WINDOW_MS, GateRules, SpeechGate
from bridge.hearing.speech_tail import SpeechTail
from bridge.hearing.voice_model import RATE_HZ, WINDOW_SAMPLES, Floats, Memory, VoiceModel
from bridge.hearing.voice_traits import Traits, VoiceTraits
from engine.audio import RateConverter

MAX_BATCH: Final = 64
FEW_EARS: Final = 8
COLLECT_S: Final = 0.008
"""With more ears than a few, what comes within so long is judged in one batch: a batch costs far more than a window."""
MAX_WINDOWS_WAITING: Final = 64
"""Two seconds of audio. A detector that has fallen so far behind tells nothing of use, and drops the oldest."""


class Ear:
    """One call's part of the detector. It is to be given the audio, gaps filled, from the answer on."""

    def __init__(
        self,
        detector: Detector,
        on_event: Callable[[Voiced], None],
        agent_speaks: Callable[[], bool],
        may_echo: Callable[[], bool],
        rules: GateRules,
    ) -> None:
        self._detector = detector
        self._on_event = on_event
        self._agent_speaks = agent_speaks
        self._may_echo = may_echo
        self._gate = SpeechGate(rules)
        self._tail = SpeechTail()
        self._traits = VoiceTraits() if rules.side_talk_db else None
        self._voice_from = rules.start_probability
        self._hold = HoldDetector() if rules.tells_hold else None
        self._beeps = BeepDetector() if rules.tells_beeps else None
        self._converter = RateConverter(RATE_HZ)
        self._samples: NDArray[np.int16] = np.empty(0, np.int16)
        self.memory = Memory()
        self.windows: deque[Floats] = deque(maxlen=MAX_WINDOWS_WAITING)
        self.closed = False

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes audio: 16-bit little-endian mono at any rate."""
        self._samples = np.concatenate((self._samples, self._converter.push(pcm, rate_hz)))
        while len(self._samples) >= WINDOW_SAMPLES:
            if len(self.windows) == MAX_WINDOWS_WAITING:
                self._gate.skip()
            self.windows.append(self._samples[:WINDOW_SAMPLES].astype(np.float32) / np.float32(32768))
            self._samples = self._samples[WINDOW_SAMPLES:]
        if self.windows:
            self._detector.wake(self)

    @property
    def beside(self) -> bool:
        """True while somebody beside the caller speaks, and for a moment after."""
        return self._gate.beside

    def close(self) -> None:
        """Tells nothing more."""
        self.closed = True
        self.windows.clear()
        self._detector.forget(self)

    def judge(self, window: Floats, probability: float) -> None:
        if self.closed:
            return
        level_dbfs = 10 * math.log10(float(np.dot(window, window)) / WINDOW_SAMPLES + 1e-10)
        hold, at_ms = self._hold, self._gate.at_ms + WINDOW_MS
        if self._beeps is not None and (beep := self._beeps.push(window, level_dbfs, at_ms)):
            self._on_event(beep)
        if hold is not None and (told := hold.push(window, probability, level_dbfs, at_ms)):
            self._on_event(told)
        if hold is not None and hold.held:
            probability = 0.0  # whatever the detector makes of music
        quiet_ms, agent_speaks = self._tail.push(window), self._agent_speaks()
        traits: Traits | None = None
        if self._traits is not None:
            is_voice = probability >= self._voice_from
            traits = self._traits.push(window, wanted=is_voice and self._gate.compares(agent_speaks=agent_speaks))
        event = self._gate.push(
            probability,
            level_dbfs,
            quiet_ms=quiet_ms,
            agent_speaks=agent_speaks,
            may_echo=agent_speaks and self._may_echo(),
            traits=traits,
        )
        if event is not None:
            self._on_event(event)

    def end_after(self, stop_ms: int, paused_ms: int) -> None:
        """Lets the silence that began at `paused_ms` make an end after `stop_ms`: at once, if it lasted so long."""
        event = self._gate.end_after(stop_ms, paused_ms)
        if event is not None and not self.closed:
            self._on_event(event)


class Detector:
    """The model, shared by every call; it runs in a thread of its own, which leaves the event loop alone."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vad")
        self.model: VoiceModel | None = None
        self._ears: WeakSet[Ear] = WeakSet()
        self._waiting: dict[Ear, None] = {}
        self._task: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Loads the model. Raises OSError if it is not installed."""
        self.model = VoiceModel()

    def ear(
        self,
        on_event: Callable[[Voiced], None],
        *,
        agent_speaks: Callable[[], bool] = lambda: False,
        may_echo: Callable[[], bool] = lambda: True,
        rules: GateRules | None = None,
    ) -> Ear:
        """Returns the ear of a new call, to which is told whether the agent is audible and whether that may come back.

        Raises OSError if the model is not installed.
        """
        if self.model is None:
            self.load()
        ear = Ear(self, on_event, agent_speaks, may_echo, rules or GateRules())
        self._ears.add(ear)
        return ear

    def wake(self, ear: Ear) -> None:
        """Judges the windows of this ear soon."""
        self._waiting[ear] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._judge_all())

    def forget(self, ear: Ear) -> None:
        """Counts an ear no more among those that hear."""
        self._ears.discard(ear)

    async def settled(self) -> None:
        """Returns once everything pushed so far has been judged."""
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Stops, and forgets the windows not judged."""
        self._waiting.clear()
        await self.settled()
        self._thread.shutdown()

    async def _judge_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if len(self._ears) > FEW_EARS and len(self._waiting) < MAX_BATCH:
                    await asyncio.sleep(COLLECT_S)
                ears = [ear for ear in self._waiting if ear.windows][:MAX_BATCH]
                windows = [ear.windows.popleft() for ear in ears]
                for ear in tuple(self._waiting):
                    if not ear.windows:
                        del self._waiting[ear]
                if not ears:
                    continue
                assert self.model is not None
                memories = [ear.memory for ear in ears]
                probabilities = await loop.run_in_executor(self._thread, self.model.judge, windows, memories)
                for ear, window, probability in zip(ears, windows, probabilities, strict=True):
                    ear.judge(window, probability)
        finally:
            self._task = None
