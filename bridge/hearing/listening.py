"""The caller's audio to whoever listens, the gaps in it filled, and a watch over the recogniser."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol

from bridge.hearing.events import Heard, SpeechStarted, SpeechStopped
from bridge.hearing.gap_filler import GapFiller
from bridge.line.call import Call, CallObserver

BEAT_S: Final = 0.1
"""How often gaps in the caller's audio are filled and the recogniser is looked at."""
UNANSWERED_MS: Final = 1_000
"""Speech heard locally of which the recogniser shows no sign: less may be a cough that it rightly ignores."""


class Recognizer(Protocol):
    """A recogniser, as the conversation uses it."""

    speech_events: bool
    """It tells when speech starts and stops."""
    down_since_s: float | None
    """Not to be had since; None while it is."""
    heard_s: float
    """When it last gave a sign of life."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """The caller's audio, without gaps."""

    def flush(self) -> None:
        """The caller has stopped speaking, as far as the local detector can hear."""

    async def run(self) -> None:
        """Recognise until cancelled."""


class LocalEar(Protocol):
    """The local voice activity detector, as the conversation uses it."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """The caller's audio, without gaps."""

    def close(self) -> None:
        """Tell nothing more."""


class Listening(CallObserver):
    """One call's ears. `heard_locally` is where the local detector tells what it hears."""

    def __init__(
        self,
        call: Call,
        timeout_ms: int,
        on_heard: Callable[[Heard], object],
        on_failed: Callable[[str], None],
        now_s: Callable[[], float],
    ) -> None:
        self.audio_listeners: list[Callable[[bytes, int], None]] = []
        """Called with the caller's audio, without gaps, and its rate in Hz."""
        self._call = call
        self._timeout_s = timeout_ms / 1000
        self._on_heard = on_heard
        self._on_failed = on_failed
        self._now_s = now_s
        self._gap_filler = GapFiller(now_s())
        self._recognizer: Recognizer | None = None
        self._ear: LocalEar | None = None
        self._onset_s = 0.0
        self._onset_ms = 0
        self._unanswered_ms = 0
        self._unanswered_since_s = math.inf
        """When speech began of which the recogniser has shown no sign."""

    def start(self, recognizer: Recognizer | None, ear: LocalEar | None) -> None:
        """Listen until the call ends."""
        self._recognizer, self._ear = recognizer, ear
        for part in (recognizer, ear):
            if part is not None:
                self.audio_listeners.append(part.push)
        if recognizer is not None:
            self._call.spawn(recognizer.run())
        if self.audio_listeners:
            self._call.observe(self)
            self._call.spawn(self._beat())

    def stop(self) -> None:
        """The call is over."""
        if self._ear is not None:
            self._ear.close()

    def heard_locally(self, event: SpeechStarted | SpeechStopped) -> None:
        """The first sign of speech where the recogniser gives none, and its watchdog."""
        recognizer = self._recognizer
        if recognizer is None:
            return
        if isinstance(event, SpeechStarted):
            self._onset_s, self._onset_ms = self._now_s(), event.audio_start_ms or 0
        elif recognizer.heard_s < self._onset_s:
            self._unanswered_ms += max((event.audio_end_ms or 0) - self._onset_ms, 0)
            self._unanswered_since_s = min(self._unanswered_since_s, self._onset_s)
        if not recognizer.speech_events:
            self._on_heard(event)
        if isinstance(event, SpeechStopped):
            recognizer.flush()

    def audio_received(self, pcm: bytes, rate_hz: int) -> None:
        self._feed(self._gap_filler.push(pcm, rate_hz, self._now_s()))

    def _feed(self, pcm: bytes) -> None:
        if pcm:
            for listener in self.audio_listeners:
                listener(pcm, self._gap_filler.rate_hz)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._feed(self._gap_filler.fill(self._now_s()))
            self._watch()

    def _watch(self) -> None:
        recognizer, now_s = self._recognizer, self._now_s()
        if recognizer is None:
            return
        if recognizer.heard_s >= self._unanswered_since_s:
            self._unanswered_ms, self._unanswered_since_s = 0, math.inf
        if recognizer.down_since_s is not None and now_s - recognizer.down_since_s > self._timeout_s:
            self._on_failed(f"not connected for {self._timeout_s:g} s")
        elif self._unanswered_ms >= UNANSWERED_MS and now_s - self._unanswered_since_s > self._timeout_s:
            self._on_failed(f"{self._unanswered_ms} ms of speech and no sign of life for {self._timeout_s:g} s")
