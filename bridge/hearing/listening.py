"""Hands the caller's audio, its gaps filled, to all who listen, and watches over the recogniser."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol

from bridge.hearing.aligner import Aligner
from bridge.hearing.echo_canceller import EchoCanceller
from bridge.hearing.events import (
    Heard,
    HoldBegan,
    HoldEnded,
    Partial,
    SpeechPaused,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Voiced,
)
from bridge.hearing.gap_filler import GapFiller
from bridge.line.call import Call, CallObserver

BEAT_S: Final = 0.1
"""The time between two looks at the recogniser and at the gaps in the caller's audio."""
UNANSWERED_MS: Final = 1_000
"""How much speech is heard locally, without a sign of it from the recogniser, before that counts as a failure. Less may
be a cough, which a recogniser rightly ignores."""
ENDLESS_S: Final = 7.5
"""How long a recogniser may tell more and more words once the caller has stopped: the turn would never be answered.
However late it begins, it may take so long, for after a lost connection it hears all of it again."""


class Recognizer(Protocol):
    """A recogniser, as the conversation uses it."""

    speech_events: bool
    """Whether it tells when speech starts and stops."""
    down_since_s: float | None
    """When it became unavailable; None while it is available."""
    heard_s: float
    """When it last gave a sign of life."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, without gaps."""

    def flush(self) -> None:
        """Learns that the local detector has heard the caller stop."""

    def listen_in(self, language: str) -> None:
        """Recognises another language, an ISO 639-1 code, from now on; empty to decide by itself."""

    async def run(self) -> None:
        """Recognises until it is cancelled."""


class LocalEar(Protocol):
    """The local voice activity detector, as the conversation uses it."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, without gaps."""

    def close(self) -> None:
        """Tells nothing more."""


class Listening(CallObserver):
    """Listens to one call. The local detector tells `heard_locally` what it hears."""

    def __init__(
        self,
        call: Call,
        timeout_ms: int,
        on_heard: Callable[[Heard], object],
        on_failed: Callable[[str], None],
        now_s: Callable[[], float],
        *,
        cancels_echo: bool = False,
    ) -> None:
        self.audio_listeners: list[Callable[[bytes, int], None]] = []
        """Functions that are called with the caller's audio, without gaps and without echo, and its rate in Hz."""
        self.recorders: list[Callable[[bytes, int], None]] = []
        """The same with the echo, some seconds late and each sound where it was made, whenever it came."""
        self._canceller: EchoCanceller | None = None
        """Is made when the caller's first audio tells the rate."""
        self._call = call
        self._timeout_s = timeout_ms / 1000
        self._on_heard = on_heard
        self._on_failed = on_failed
        self._now_s = now_s
        self._start_s = now_s()
        self._gap_filler = GapFiller(self._start_s, self._sound_came, self._without_echo if cancels_echo else None)
        self._aligner = Aligner(self._gap_filler.clock)
        self._recognizer: Recognizer | None = None
        self._ear: LocalEar | None = None
        self._onset_s = 0.0
        self._onset_ms = 0
        self._unanswered_ms = 0
        self._unanswered_since_s = math.inf
        """When the first speech began of which the recogniser has shown no sign."""
        self._owes_end = False
        """The recogniser has told a start of speech, and not its end yet."""
        self._owed_since_s = math.inf
        """When that speech ended, as it was heard locally."""
        self._quiet = False
        """Speech is over, as it was heard locally, of which the recogniser has told neither an end nor all words."""
        self._endless_since_s = math.inf
        """When it told the first words after that."""

    def start(self, recognizer: Recognizer | None, ear: LocalEar | None) -> None:
        """Listens until the call ends."""
        self._recognizer, self._ear = recognizer, ear
        for part in (recognizer, ear):
            if part is not None:
                self.audio_listeners.append(part.push)
        if recognizer is not None:
            self._call.spawn(recognizer.run())
        if self.audio_listeners or self.recorders:
            self._call.observe(self)
            self._call.spawn(self._beat())

    def stop(self) -> None:
        """Stops listening, because the call is over, and lets go of what was heard: the call itself is kept longer."""
        if self._ear is not None:
            self._ear.close()
        self._record(self._aligner.rest())
        self._recognizer = self._ear = self._canceller = None
        self._gap_filler.clock.forget()
        self.audio_listeners.clear()
        self.recorders.clear()

    def listen_in(self, language: str) -> None:
        """Has the recogniser expect another language from now on."""
        if self._recognizer is not None:
            self._recognizer.listen_in(language)

    def agent_is_audible(self) -> bool:
        """Tells whether what is heard may be the agent: it speaks, or an echo of it is still to come."""
        return self._call.playout.speaking or (self._canceller is not None and self._canceller.echo_due)

    def agent_may_echo(self) -> bool:
        """Tells whether the agent's sound may come back; False once a call is known to have no echo."""
        return self._canceller is None or self._canceller.may_echo

    def heard(self, event: Heard) -> None:
        """Takes what a recogniser of the caller's audio heard, and passes it on with the times of the call."""
        match event:
            case SpeechStarted(at_ms):
                event, self._owes_end = SpeechStarted(self._call_ms(at_ms)), True
            case SpeechStopped(at_ms):
                event, self._owes_end = SpeechStopped(self._call_ms(at_ms)), False
                self._quiet = False
            case SpeechPaused(at_ms):
                event = SpeechPaused(self._call_ms(at_ms))
            case HoldBegan(at_ms):
                event = HoldBegan(self._call_ms(at_ms))
            case HoldEnded(at_ms):
                event = HoldEnded(self._call_ms(at_ms))
            case Partial(text, at_ms):
                event = Partial(text, self._call_ms(at_ms))
                if self._never_ends():
                    self._on_failed("more and more words of a caller who has stopped")
            case Transcript(text, at_ms):
                event, self._owes_end = Transcript(text, self._call_ms(at_ms)), False
                self._quiet = False
        self._on_heard(event)

    def _never_ends(self) -> bool:
        """Notes that more words have come; returns whether they have for too long since the caller stopped."""
        if not self._quiet:
            return False
        self._endless_since_s = min(self._endless_since_s, self._now_s())
        return self._now_s() - self._endless_since_s > ENDLESS_S

    def heard_locally(self, event: Voiced) -> None:
        """Takes what the local detector hears. It replaces missing speech events and checks on the recogniser."""
        recognizer = self._recognizer
        if recognizer is None:
            return
        if not isinstance(event, SpeechStarted | SpeechStopped):
            self.heard(event)  # a recogniser that tells starts and stops of its own tells nothing as soon as this
            return
        stopped = isinstance(event, SpeechStopped) and self._owes_end and recognizer.speech_events
        self._owed_since_s = self._now_s() if stopped else math.inf
        if isinstance(event, SpeechStarted):
            self._onset_s, self._onset_ms = self._now_s(), event.audio_start_ms or 0
        elif recognizer.heard_s < self._onset_s:
            self._unanswered_ms += max((event.audio_end_ms or 0) - self._onset_ms, 0)
            self._unanswered_since_s = min(self._unanswered_since_s, self._onset_s)
        if not recognizer.speech_events:
            self.heard(event)
        self._quiet, self._endless_since_s = isinstance(event, SpeechStopped), math.inf
        if isinstance(event, SpeechStopped):
            recognizer.flush()

    def audio_received(self, pcm: bytes, rate_hz: int) -> None:
        self._feed(self._gap_filler.push(pcm, rate_hz, self._now_s()))

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        if self._canceller is not None:
            self._canceller.sent(pcm, rate_hz, self._now_s())

    def _sound_came(self, pcm: bytes, rate_hz: int, start_ms: float) -> None:
        if self.recorders:
            self._aligner.push(pcm, rate_hz, start_ms)

    def _call_ms(self, position_ms: int | None) -> int | None:
        """Returns when the sound at a place of the listeners' audio was made, counted from the answer."""
        return None if position_ms is None else max(round(self._gap_filler.clock.call_ms(position_ms)), 0)

    def _without_echo(self, pcm: bytes, rate_hz: int) -> bytes:
        """Cleans what has come, before silence is filled in: an echo comes in what has come alone."""
        if self._canceller is None:
            if not self.audio_listeners:
                return pcm
            self._canceller = EchoCanceller(rate_hz)
        return self._canceller.push(pcm)

    def _feed(self, pcm: bytes) -> None:
        if not pcm:
            return
        for listener in self.audio_listeners:
            listener(pcm, self._gap_filler.rate_hz)

    def _record(self, pcm: bytes) -> None:
        if pcm:
            for recorder in self.recorders:
                recorder(pcm, self._gap_filler.rate_hz)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            now_s = self._now_s()
            self._feed(self._gap_filler.fill(now_s))
            if self.recorders:
                self._record(self._aligner.take((now_s - self._start_s) * 1000))
            self._watch()

    def _watch(self) -> None:
        recognizer, now_s = self._recognizer, self._now_s()
        if recognizer is None:
            return
        if recognizer.heard_s >= self._unanswered_since_s:
            self._unanswered_ms, self._unanswered_since_s = 0, math.inf
        if not self._owes_end or recognizer.heard_s >= self._owed_since_s:
            self._owed_since_s = math.inf
        if recognizer.down_since_s is not None and now_s - recognizer.down_since_s > self._timeout_s:
            self._on_failed(f"not connected for {self._timeout_s:g} s")
        elif self._unanswered_ms >= UNANSWERED_MS and now_s - self._unanswered_since_s > self._timeout_s:
            self._on_failed(f"{self._unanswered_ms} ms of speech and no sign of life for {self._timeout_s:g} s")
        elif now_s - self._owed_since_s > self._timeout_s:
            self._on_failed(f"a start of speech, and no sign of life for {self._timeout_s:g} s after its end")
