"""What one call hears: utterances in order, one frame a tick, paused and cut within a tick. No I/O, injected clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np

from bridge.line.audiosocket import FRAME_MS
from bridge.line.heard import LETTERS_PER_SECOND, heard_words, spoken_letters

FADE_MS: Final = 5
"""Long enough to take the click off a cut, short enough to be no speech."""
FADE_AFTER_S: Final = 0.005
"""A fade spends the next frame. Sooner than this after a frame the next one is over 15 ms away and would break the
promise of silence within 20 ms of the signal, network included: then the cut is hard."""
KEPT_BEHIND_MS: Final = 2_000
"""Played audio kept for `rewind`; more than any word lasts."""

_SAMPLE_BYTES: Final = 2
_ids = count(1)


@dataclass(slots=True)
class _Span:
    """A sentence's place in the audio, or a word's; it ends where the next one starts."""

    text: str
    start_samples: int


@dataclass(slots=True, eq=False)
class Utterance:
    """One reply on its way to the caller: audio as it is made, with the text it speaks."""

    interruptible: bool = True
    id: str = field(default_factory=lambda: f"utt_{next(_ids)}")
    rate_hz: int = 0
    """Rate of the audio; set by `open`, before the first write."""
    played_samples: int = 0
    """Handed to the wire so far."""
    ended: bool = False
    """All of its audio has been written."""
    done: bool = False
    """It was played to its end, or cut."""
    interrupted: bool = False
    letters_per_second: float = LETTERS_PER_SECOND
    """The voice's pace, as far as known."""
    _audio: bytearray = field(default_factory=bytearray)
    _audio_start_samples: int = 0
    _written_samples: int = 0
    _spans: list[_Span] = field(default_factory=list)
    _heard: str | None = None
    """Its text as heard, once it was cut: what was not played is forgotten then, and with it the sentence's length."""

    def open(self, rate_hz: int) -> None:
        """Say at which rate the audio will come."""
        assert not self._written_samples, "the rate is set before the first write"
        self.rate_hz = rate_hz

    def write(self, pcm: bytes, text: str = "") -> None:
        """Append audio (16-bit little-endian mono). A non-empty `text` is the sentence or word that begins with it."""
        if self.done:
            return
        if text:
            self._spans.append(_Span(text, self._written_samples))
        self._audio += pcm
        self._written_samples += len(pcm) // _SAMPLE_BYTES

    def end(self) -> None:
        """All of it has been written."""
        self.ended = True

    @property
    def started(self) -> bool:
        return self.played_samples > 0

    @property
    def played_ms(self) -> int:
        return self._to_ms(self.played_samples)

    @property
    def available_samples(self) -> int:
        """Audio made but not played."""
        return self._written_samples - self.played_samples

    @property
    def buffered_ms(self) -> int:
        """The same in time."""
        return self._to_ms(self.available_samples)

    def heard_text(self) -> str:
        """The text played so far, to the word: what was written with its audio exactly, the last of it by its share.

        A word counts from its middle on: from there a listener knows it more often than not.
        """
        if self._heard is not None:
            return self._heard
        if self.done:
            return "".join(span.text for span in self._spans)
        heard: list[str] = []
        for index, span in enumerate(self._spans):
            played = self.played_samples - span.start_samples
            if played <= 0:
                break
            heard.append(heard_words(span.text, played / self._span_samples(index)))
        return "".join(heard)

    def rewind(self, ms: int) -> None:
        """Play the last `ms` again, as far as they are kept."""
        back = min(ms * self.rate_hz // 1000, self.played_samples - self._audio_start_samples)
        self.played_samples -= max(back, 0)

    def take(self, samples: int) -> bytes:
        """The next `samples` of audio, fewer at the end; advances the position."""
        pcm = self.peek(samples)
        self.played_samples += len(pcm) // _SAMPLE_BYTES
        self._forget_played()
        return pcm

    def peek(self, samples: int) -> bytes:
        """The next `samples` of audio, without advancing."""
        start = (self.played_samples - self._audio_start_samples) * _SAMPLE_BYTES
        return bytes(self._audio[start : start + samples * _SAMPLE_BYTES])

    def cut(self) -> None:
        """Drop what was not played."""
        self._heard = self.heard_text()
        self.interrupted = self.done = True
        self._audio.clear()
        self._audio_start_samples = self._written_samples = self.played_samples

    def _span_samples(self, index: int) -> float:
        """Length of a span's audio; guessed from its text while it is still being made."""
        start = self._spans[index].start_samples
        if index + 1 < len(self._spans):
            return max(self._spans[index + 1].start_samples - start, 1)
        written = self._written_samples - start
        if self.ended:
            return max(written, 1)
        return max(written, spoken_letters(self._spans[index].text) / self.letters_per_second * self.rate_hz, 1)

    def pace(self) -> float | None:
        """Letters a second of what was played to its end; None where that is nothing."""
        letters = sum(spoken_letters(span.text) for span in self._spans)
        if self.interrupted or not letters or not self._written_samples:
            return None
        return letters * self.rate_hz / self._written_samples

    def _forget_played(self) -> None:
        kept = KEPT_BEHIND_MS * self.rate_hz // 1000
        behind = self.played_samples - self._audio_start_samples
        if behind > 2 * kept:  # in strides, so that the memory is moved seldom
            del self._audio[: (behind - kept) * _SAMPLE_BYTES]
            self._audio_start_samples += behind - kept

    def _to_ms(self, samples: int) -> int:
        return samples * 1000 // self.rate_hz if self.rate_hz else 0


@dataclass(frozen=True, slots=True)
class Interruption:
    """What became of a cut."""

    interrupted: bool
    text: str = ""
    """What the caller heard of the utterance that was playing."""
    audio_end_ms: int = 0
    utterance: Utterance | None = None
    """The one that was playing."""


class Playout:
    """The queue of one call's utterances, taken a frame a tick.

    `on_started` and `on_done` are called from within `tick` and `cut`: when an utterance's first frame leaves, and when
    its last one has left or it was cut.
    """

    def __init__(
        self,
        on_started: Callable[[Utterance], None] = lambda utterance: None,
        on_done: Callable[[Utterance], None] = lambda utterance: None,
    ) -> None:
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
        self._on_started = on_started
        self._on_done = on_done

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
            self._on_done(utterance)

    @property
    def current(self) -> Utterance | None:
        """The utterance that plays, or will next."""
        return self._queue[0] if self._queue else None

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
        utterance = self._queue[0] if self._queue else None
        if self.paused or utterance is None or not utterance.started:
            return False
        self._fade_out(utterance, now_s)
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
        if current.started and not self.paused:
            self._fade_out(current, now_s)
        heard = Interruption(True, current.heard_text(), current.played_ms, current)
        cut, self._queue = list(self._queue), deque()
        self.paused = False
        for utterance in cut:
            utterance.cut()
            self._on_done(utterance)
        return heard

    def _frame(self, utterance: Utterance, frame_samples: int) -> bytes:
        first = not utterance.started
        pcm = utterance.take(frame_samples)
        if first:
            self._on_started(utterance)
            if utterance.done:  # who was told has cut it: not even this frame is heard
                return self._silent_frame(utterance.rate_hz)
        if utterance.ended and not utterance.available_samples:
            self._finish(utterance)
        return pcm.ljust(frame_samples * _SAMPLE_BYTES, b"\0")

    def _finish(self, utterance: Utterance) -> None:
        self._queue.popleft()
        utterance.done = True
        self._letters_per_second = utterance.pace() or self._letters_per_second
        self._on_done(utterance)

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
            frame = self._silence[rate_hz] = bytes(rate_hz * FRAME_MS // 1000 * _SAMPLE_BYTES)
        return frame
