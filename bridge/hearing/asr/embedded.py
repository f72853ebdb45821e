"""The recogniser that needs no service: a local detector finds speech, and a model recognises it while it goes on.

A *look* recognises all of the present speech anew. One is taken every PARTIAL_MS, and one in each pause. That one has
seen everything: if the caller does not go on, no other is taken, and its words are final once the detector says that
the speech is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from bridge.hearing.asr.quiet_place import quiet_place
from bridge.hearing.asr.recognition import RATE_HZ
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from bridge.hearing.events import (
    Beep,
    Heard,
    HoldBegan,
    HoldEnded,
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Voiced,
)
from bridge.hearing.smart_turn import SmartTurn
from bridge.hearing.speech_gate import GateRules
from bridge.hearing.vad import Ear
from bridge.turns.end_of_turn import EndOfTurn
from engine.audio import RateConverter
from engine.child import ChildLost

log = structlog.get_logger(__name__)

BEFORE_MS: Final = 300
"""How much audio before the start is recognised too: the detector needs the first sounds to make up its mind."""
AFTER_MS: Final = 200
"""How much audio after the end is recognised too: a model wants a sentence to end in silence."""
PARTIAL_MS: Final = 600
"""How much new speech there has to be before it is recognised once more while it goes on."""
LONGEST_MS: Final = 15_000
"""The longest stretch looked at again and again. In longer speech the words before a quiet place are settled."""
PAUSE_MS: Final = 128
"""How much silence a look is taken in, unless the gate's rules say less or more."""
UNSURE_MS: Final = 608
"""How much silence may be the end of a turn whose words are unfinished: an answer begun sooner is wasted."""
MAX_JOBS: Final = 8
"""The number of stretches that may wait in one call. The oldest is given up when a recogniser is further behind."""
_BYTES_PER_MS: Final = RATE_HZ // 1000 * 2


@dataclass(slots=True)
class _Speech:
    """One stretch of the caller's speech."""

    settled: list[str] = field(default_factory=list)
    """The words at its beginning, which are not looked at again."""


@dataclass(slots=True)
class _Look:
    """Audio of one speech to be recognised."""

    speech: _Speech
    pcm: bytes
    end_ms: int
    paused_ms: int | None = None
    """Where the pause began in which it was taken; None if it was not."""
    final: bool = False
    """Its words will be the final transcript, not a partial one."""
    settles: bool = False
    """Its audio is not looked at again."""
    done: bool = False
    text: str = ""
    """All the words of the speech as far as it has seen it."""


class EmbeddedAsr:
    """One call's recogniser, with the same surface as `AsrClient`."""

    speech_events = True

    def __init__(
        self,
        pool: RecognizerPool,
        on_heard: Callable[[Heard], object],
        *,
        agent_speaks: Callable[[], bool] = lambda: False,
        may_echo: Callable[[], bool] = lambda: True,
        rules: GateRules | None = None,
        end_of_turn: EndOfTurn | None = None,
        smart_turn: SmartTurn | None = None,
        pools: Callable[[str], RecognizerPool | None] = lambda language: None,
        call_id: str = "",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._pools = pools
        self._on_heard = on_heard
        self._now_s = now_s
        self._log = log.bind(call=call_id)
        self._end_of_turn = end_of_turn or EndOfTurn()
        self._smart_turn = smart_turn
        self.down_since_s: float | None = None
        self.heard_s = now_s()
        rules = rules or GateRules()
        self._tells_pauses = rules.pause_ms > 0
        longest_ms = self._end_of_turn.longest_ms(has_model=smart_turn is not None)
        rules = replace(rules, stop_ms=longest_ms, pause_ms=rules.pause_ms or PAUSE_MS)
        self._ear: Ear = pool.detector.ear(self._voice, agent_speaks=agent_speaks, may_echo=may_echo, rules=rules)
        self._converter = RateConverter(RATE_HZ)
        self._audio = bytearray()
        self._audio_start_ms = 0
        self._speech: _Speech | None = None
        self._looked_ms = 0
        self._looks: asyncio.Queue[_Look] = asyncio.Queue()
        self._latest: _Look | None = None
        """The newest look at the speech that goes on now."""
        self._paused = False
        """True during a pause in which a look has been taken: there is nothing new until the caller goes on."""
        self._untold_ms: int | None = None
        """Where the present pause began, while nobody has been told of it; None otherwise."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, 16-bit little-endian mono, gaps filled, from the answer on."""
        self._audio += self._converter.push(pcm, rate_hz).tobytes()
        self._ear.push(pcm, rate_hz)
        if self._speech is None:
            self._forget(self._end_ms - BEFORE_MS - 500)
            return
        if self._untold_ms is not None and self._end_ms - self._untold_ms >= UNSURE_MS:
            self._tell_pause(self._untold_ms)
        if self._end_ms - self._audio_start_ms > LONGEST_MS:
            self._settle(self._speech)
        is_new = not self._paused and self._end_ms - self._looked_ms >= PARTIAL_MS
        if is_new and (self._latest is None or self._latest.done):
            self._looked_ms = self._end_ms
            self._look(_Look(self._speech, bytes(self._audio), self._end_ms))

    def flush(self) -> None:
        """Does nothing: the recogniser's own detector ends an utterance."""

    def listen_in(self, language: str) -> None:
        """Has another pool recognise what comes, if there is one for this language."""
        self._pool = self._pools(language) or self._pool

    async def run(self) -> None:
        """Recognises what is queued, until it is cancelled."""
        try:
            while True:
                look = await self._looks.get()
                if look.final or look.settles or look is self._latest:  # a later look has seen what others would
                    await self._recognise(look)
        finally:
            self._ear.close()

    async def _recognise(self, look: _Look) -> None:
        judging = asyncio.create_task(self._judge(look))
        try:
            self._take_words(look, await self._words(look))
            ended = await judging
        finally:
            judging.cancel()
        if look.paused_ms is not None:  # which may be the end already, so that the rest is told before
            self._ear.end_after(self._end_of_turn.wait_ms(look.text, ended), look.paused_ms)

    def _take_words(self, look: _Look, text: str) -> None:
        """Tells the words. Where they are a whole sentence, the pause is told too: an answer can be begun at once.

        The judge of the sound takes longer than the recogniser, and is not waited for: an answer that it would have
        held back costs some of the model's tokens, and waiting for it costs every caller its time.
        """
        if look.settles and text:
            look.speech.settled.append(text)
            text = ""
        look.text = " ".join([*look.speech.settled, text]).strip()
        look.done = True
        if look.final:
            self._hear(Transcript(look.text))
        elif look.text and not look.settles:  # fewer words than were told already are no news
            self._hear(Partial(look.text))
        told_ms = look.paused_ms
        if told_ms is not None and told_ms == self._untold_ms and not self._end_of_turn.goes_on(look.text):
            self._tell_pause(told_ms)

    async def _words(self, look: _Look) -> str:
        try:
            text = await self._pool.transcribe(look.pcm, whole=look.paused_ms is not None or look.final or look.settles)
            self.down_since_s = None
            return text
        except ChildLost:
            self._log.error("the recogniser's process dies again and again")
            self.down_since_s = self.down_since_s or self._now_s()
        except Exception:  # the fault is this audio's: the next is tried again
            self._log.exception("a stretch of speech could not be recognised")
        return ""

    async def _judge(self, look: _Look) -> float | None:
        """Returns how likely the caller has ended, by the sound of the speech; None where nobody can say."""
        if self._smart_turn is None or look.paused_ms is None:
            return None
        try:
            return await self._smart_turn.probability(look.pcm)
        except Exception:  # the words and the silence are still there
            self._log.exception("the end of a turn could not be judged")
            return None

    def _voice(self, event: Voiced) -> None:
        if isinstance(event, HoldBegan | HoldEnded | Beep):
            self._hear(event)
        elif isinstance(event, SpeechStarted):
            start_ms = event.audio_start_ms or 0
            self._paused = False
            self._forget(start_ms - BEFORE_MS)
            self._looked_ms = start_ms
            self._speech, self._latest = _Speech(), None
            self._hear(event)
        elif isinstance(event, SpeechStopped):
            self._paused, self._untold_ms = False, None
            self._hear(event)
            self._end(event)
        elif isinstance(event, SpeechResumed):
            self._paused, self._untold_ms = False, None
            self._looked_ms = self._end_ms
            if self._tells_pauses:
                self._hear(event)
        elif self._speech is not None:  # it may be the end, and is all there is
            self._paused, self._untold_ms = True, event.audio_end_ms
            self._look(_Look(self._speech, bytes(self._audio), self._end_ms, event.audio_end_ms))

    def _tell_pause(self, paused_ms: int) -> None:
        """Tells that the caller may be done, once it is likely: by the words before the pause, or by its length."""
        self._untold_ms = None
        if self._tells_pauses:
            self._hear(SpeechPaused(paused_ms))

    def _end(self, event: SpeechStopped) -> None:
        speech, latest, end_ms = self._speech or _Speech(), self._latest, event.audio_end_ms or self._end_ms
        self._speech = self._latest = None
        if latest is None or latest.end_ms < end_ms:
            end = max(end_ms + AFTER_MS - self._audio_start_ms, 0) * _BYTES_PER_MS
            self._look(_Look(speech, bytes(self._audio[:end]), end_ms, final=True))
        elif latest.done:  # the look taken in the pause has seen it all
            self._hear(Transcript(latest.text))
        else:
            latest.final = True

    def _settle(self, speech: _Speech) -> None:
        """Cuts the audio where the caller paused most of late; what lies before is recognised once more, and kept."""
        half = LONGEST_MS // 2
        place = quiet_place(bytes(self._audio[half * _BYTES_PER_MS :]), RATE_HZ)
        cut_ms = self._audio_start_ms + half + place // _BYTES_PER_MS
        pcm = bytes(self._audio[: (cut_ms - self._audio_start_ms) * _BYTES_PER_MS])
        self._look(_Look(speech, pcm, cut_ms, settles=True))
        self._forget(cut_ms)

    def _look(self, look: _Look) -> None:
        if self._looks.qsize() >= MAX_JOBS:
            late = self._looks.get_nowait()
            late.done = True
            if late.final:
                self._hear(Transcript(""))
        self._latest = look
        self._looks.put_nowait(look)

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
