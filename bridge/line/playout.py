"""What one call hears: utterances in order, one frame a tick, paused and cut within a tick. No I/O, injected clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge.line.audiosocket import FRAME_MS
from bridge.line.heard import LETTERS_PER_SECOND
from bridge.line.utterance import SAMPLE_BYTES, Utterance, UtteranceObserver

FADE_MS: Final = 5
"""Long enough to take the click off a cut, short enough to be no speech."""
FADE_AFTER_S: Final = 0.005
"""A fade spends the next frame. Sooner than this after a frame the next one is over 15 ms away and would break the
promise of silence within 20 ms of the signal, network included: then the cut is hard."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """What became of a cut."""

    interrupted: bool
    text: str = ""
    """What the caller heard of the utterance that was playing."""
    audio_end_ms: int = 0


class Playout:
    """The queue of one call's utterances, taken a frame a tick. The observers are told from within `tick` and `cut`."""

    def __init__(self, observers: Sequence[UtteranceObserver] = ()) -> None:
        self.rate_hz = 8_000
        """Rate of silence, and what new utterances should be opened with: the caller's own."""
        self.paused = False
        self.underrun_frames = 0
        """Frames of silence inside an utterance because its audio was not made in time."""
        self._queue: deque[Utterance] = deque()
        self._fade: tuple[int, bytes] | None = None
        self._ticked_s = 0.0
        self._letters_per_second = LETTERS_PER_SECOND
        self._silence: dict[int, bytes] = {}
        self._observers = observers

    def begin(self, *, interruptible: bool = True) -> Utterance:
        """Queue an utterance behind the others; its audio is written to it as it is made."""
        utterance = Utterance(interruptible=interruptible, letters_per_second=self._letters_per_second)
        self._queue.append(utterance)
        return utterance

    def drop(self, utterance: Utterance) -> None:
        """Take one utterance out of the queue, with what was not played of it."""
        if utterance in self._queue:
            self._queue.remove(utterance)
            utterance.cut()
            self._tell_done(utterance)

    @property
    def current(self) -> Utterance | None:
        """The utterance that plays, or will next."""
        return self._queue[0] if self._queue else None

    @property
    def speaking(self) -> bool:
        """An utterance is being heard: it has begun, and is not paused."""
        return bool(self._queue) and self._queue[0].started and not self.paused

    @property
    def idle(self) -> bool:
        """Nothing is queued, and the last frame of what was has left."""
        return not self._queue and self._fade is None

    def tick(self, now_s: float) -> tuple[int, bytes]:
        """The frame of this tick: its rate and exactly 20 ms of 16-bit little-endian samples."""
        self._ticked_s = now_s
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
                    self.underrun_frames += utterance.started
                    break
                if utterance.ended and not utterance.peek(1):
                    self._finish(utterance)
                    continue
                return utterance.rate_hz, self._frame(utterance, frame_samples)
        return self.rate_hz, self._silent_frame(self.rate_hz)

    def pause(self, now_s: float) -> bool:
        """Fall silent within one tick and keep the place. False if nothing was playing."""
        if not self.speaking:
            return False
        self._fade_out(self._queue[0], now_s)
        self.paused = True
        return True

    def resume(self, rewind_ms: int = 0) -> None:
        """Go on from the sample where `pause` stopped, or `rewind_ms` before it."""
        if not self.paused:
            return
        if self._queue:
            self._queue[0].rewind(rewind_ms)
        self.paused = False
        self._fade = None

    def cut(self, now_s: float) -> Interruption:
        """Fall silent within one tick and drop everything queued."""
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

    def _frame(self, utterance: Utterance, frame_samples: int) -> bytes:
        first = not utterance.started
        pcm = utterance.take(frame_samples)
        if first:
            for observer in self._observers:
                observer.utterance_started(utterance)
            if utterance.done:  # who was told has cut it: not even this frame is heard
                return self._silent_frame(utterance.rate_hz)
        if utterance.ended and not utterance.available_samples:
            self._finish(utterance)
        return pcm.ljust(frame_samples * SAMPLE_BYTES, b"\0")

    def _finish(self, utterance: Utterance) -> None:
        self._queue.popleft()
        utterance.done = True
        self._letters_per_second = utterance.pace() or self._letters_per_second
        self._tell_done(utterance)

    def _tell_done(self, utterance: Utterance) -> None:
        for observer in self._observers:
            observer.utterance_done(utterance)

    def _fade_out(self, utterance: Utterance, now_s: float) -> None:
        """Let the next frame be the few milliseconds that would have come, fading away."""
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
