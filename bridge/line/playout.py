"""One call's playout: utterances in order, one wire frame a tick, paused or cut within a tick. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge.line.audiosocket import FRAME_MS
from bridge.line.background_sound import BackgroundSound
from bridge.line.heard import LETTERS_PER_SECOND
from bridge.line.utterance import SAMPLE_BYTES, Utterance, UtteranceObserver

FADE_MS: Final = 5
"""The length of the fade at a cut: long enough to avoid a click, too short to be heard as speech."""
FADE_AFTER_S: Final = 0.005
"""A cut that comes sooner than this after a frame is hard. A fade takes up the next frame, which would then be over
15 ms away and break the promise of silence within 20 ms of the signal, network included."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The result of a cut."""

    interrupted: bool
    text: str = ""
    """The heard text of the utterance that was playing."""
    audio_end_ms: int = 0


class Playout:
    """The queue of one call's utterances. `tick` takes one frame; `tick`, `cut` and `drop` call the observers."""

    def __init__(self, observers: Sequence[UtteranceObserver] = ()) -> None:
        self.rate_hz = 8_000
        """The caller's rate: that of silence, and the one with which new utterances are to be opened."""
        self.paused = False
        self.underrun_frames = 0
        """The number of silent frames inside utterances whose audio was not made in time."""
        self.background = BackgroundSound()
        """What is heard while no utterance is."""
        self._queue: deque[Utterance] = deque()
        self._fade: tuple[int, bytes] | None = None
        self._ticked_s = 0.0
        self._letters_per_second = LETTERS_PER_SECOND
        self._silence: dict[int, bytes] = {}
        self._observers = observers

    def begin(self, *, interruptible: bool = True) -> Utterance:
        """Queues an utterance behind the others and returns it; its audio is written to it as it is made."""
        utterance = Utterance(interruptible=interruptible, letters_per_second=self._letters_per_second)
        self._queue.append(utterance)
        return utterance

    def drop(self, utterance: Utterance) -> None:
        """Takes one utterance out of the queue and drops what was not played of it."""
        if utterance in self._queue:
            self._queue.remove(utterance)
            utterance.cut()
            self._tell_done(utterance)

    @property
    def current(self) -> Utterance | None:
        """The utterance that plays, or that will play next; None if none is queued."""
        return self._queue[0] if self._queue else None

    @property
    def speaking(self) -> bool:
        """Tells whether an utterance is being heard: it has begun and is not paused."""
        return bool(self._queue) and self._queue[0].started and not self.paused

    @property
    def idle(self) -> bool:
        """Tells whether nothing is queued and the last frame of speech has left."""
        return not self._queue and self._fade is None

    def tick(self, now_s: float) -> tuple[int, bytes]:
        """Returns the rate and the samples of this tick's wire frame: exactly 20 ms of 16-bit little-endian mono."""
        self._ticked_s = now_s
        spoken = self._next_frame()
        if self.background.idle:
            return spoken or (self.rate_hz, self._silent_frame(self.rate_hz))
        room = spoken is None and not self.paused and not self.speaking
        rate_hz, frame = spoken or (self.rate_hz, self._silent_frame(self.rate_hz))
        return rate_hz, self.background.under(frame, rate_hz, room=room)

    def pause(self, now_s: float) -> bool:
        """Falls silent within one tick and keeps the place. Returns False if nothing was playing."""
        if not self.speaking:
            return False
        self._fade_out(self._queue[0], now_s)
        self.paused = True
        return True

    def take_back(self, ms: int) -> None:
        """Counts the last `ms` before a pause as not heard: what plays next is that again."""
        if self.paused and self._queue:
            self._queue[0].rewind(ms)

    def not_played(self, ms: int) -> None:
        """Counts the last `ms` as not heard: they have left, but will not be played."""
        if ms and self.speaking:
            self._queue[0].rewind(ms)

    def resume(self, rewind_ms: int = 0) -> None:
        """Goes on from the sample where `pause` stopped, or `rewind_ms` before it."""
        if not self.paused:
            return
        if self._queue:
            self._queue[0].rewind(rewind_ms)
        self.paused = False
        self._fade = None

    def cut(self, now_s: float) -> Interruption:
        """Falls silent within one tick and drops everything queued; returns what was heard."""
        if not self._queue:
            return Interruption(interrupted=False)
        current = self._queue[0]
        if self.speaking:
            self._fade_out(current, now_s)
        heard = Interruption(True, current.heard_text(), current.played_ms)
        cut, self._queue = list(self._queue), deque()
        self.paused = False
        for utterance in cut:
            utterance.cut()
            self._tell_done(utterance)
        return heard

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Returns the next frame of an utterance, or None if there is none to be heard now."""
        if self._fade is not None:
            frame, self._fade = self._fade, None
            return frame
        if not self.paused:
            while self._queue:
                utterance = self._queue[0]
                frame_samples = utterance.rate_hz * FRAME_MS // 1000
                if not utterance.ended and (
                    not utterance.rate_hz or len(utterance.peek(frame_samples)) < frame_samples * 2
                ):
                    if utterance.started:
                        self._underrun(utterance)
                    break
                if utterance.ended and not utterance.peek(1):
                    self._finish(utterance)
                    continue
                return utterance.rate_hz, self._frame(utterance, frame_samples)
        return None

    def _frame(self, utterance: Utterance, frame_samples: int) -> bytes:
        first = not utterance.started
        pcm = utterance.take(frame_samples)
        if first:
            for observer in self._observers:
                observer.utterance_started(utterance)
            if utterance.done:  # an observer has cut it: not even this frame is heard
                return self._silent_frame(utterance.rate_hz)
        if utterance.ended and not utterance.available_samples:
            self._finish(utterance)
        return pcm.ljust(frame_samples * SAMPLE_BYTES, b"\0")

    def _underrun(self, utterance: Utterance) -> None:
        self.underrun_frames += 1
        for observer in self._observers:
            observer.utterance_underrun(utterance)

    def _finish(self, utterance: Utterance) -> None:
        self._queue.popleft()
        utterance.done = True
        self._letters_per_second = utterance.pace() or self._letters_per_second
        self._tell_done(utterance)

    def _tell_done(self, utterance: Utterance) -> None:
        for observer in self._observers:
            observer.utterance_done(utterance)

    def _fade_out(self, utterance: Utterance, now_s: float) -> None:
        """Makes the next frame out of the few milliseconds that would have come, fading away."""
        if now_s - self._ticked_s < FADE_AFTER_S:
            return
        samples = np.frombuffer(utterance.peek(FADE_MS * utterance.rate_hz // 1000), np.int16)
        ramp = np.linspace(1.0, 0.0, len(samples), endpoint=False)
        faded = np.round(samples * ramp).astype(np.int16).tobytes()
        silence = self._silent_frame(utterance.rate_hz)
        self._fade = (utterance.rate_hz, faded + silence[len(faded) :])

    def _silent_frame(self, rate_hz: int) -> bytes:
        frame = self._silence.get(rate_hz)
        if frame is None:
            frame = self._silence[rate_hz] = bytes(rate_hz * FRAME_MS // 1000 * SAMPLE_BYTES)
        return frame
