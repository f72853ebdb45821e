"""The sound under a call that waits: heard where no utterance is, and gone within a tick. No I/O."""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge.line.audiosocket import FRAME_MS
from bridge.line.looped_sound import SAMPLE_BYTES, LoopedSound
from engine.speech import Pcm

FADE_MS: Final = 5
"""The length of the fades at its beginning and end: long enough to avoid a click."""


class BackgroundSound:
    """One call's sound while it waits. It belongs to no utterance, so nothing of it counts as heard."""

    def __init__(self) -> None:
        self.idle = True
        """Whether there is nothing to be heard of it, now or after a while: a call that asks this first saves work."""
        self._wanted: LoopedSound | None = None
        self._playing: LoopedSound | None = None
        """The sound that the last frame had."""
        self._after_frames = 0
        self._quiet_frames = 0
        """For how many ticks there has been room for it."""
        self._index = 0

    def play(self, sound: LoopedSound, after_ms: int) -> None:
        """Plays a sound, once there has been room for it for `after_ms`. Goes on if it plays already."""
        if sound is not self._wanted:
            self._wanted, self._quiet_frames, self.idle = sound, 0, False
        self._after_frames = after_ms // FRAME_MS

    def stop(self) -> None:
        """Is silent from the next tick on, but for a fade of `FADE_MS`."""
        self._wanted = None

    def under(self, frame: bytes, rate_hz: int, *, room: bool) -> bytes:
        """Returns a tick's frame with the sound in it if there is `room`, which means that nothing else is heard."""
        self._quiet_frames = self._quiet_frames + 1 if room else 0
        wanted, playing = self._wanted, self._playing
        if wanted is None or self._quiet_frames <= self._after_frames:
            self._playing, self.idle = None, wanted is None
            return frame if playing is None else _mixed(frame, playing.frame(self._index, rate_hz), rate_hz)
        if playing is not wanted:
            self._playing, self._index = wanted, 0
        heard = wanted.frame(self._index, rate_hz)
        self._index += 1
        if playing is wanted:
            return heard
        return _faded(heard, rate_hz, 0.0, 1.0).tobytes() + heard[_fade_samples(rate_hz) * SAMPLE_BYTES :]


def _mixed(frame: bytes, ending: bytes, rate_hz: int) -> bytes:
    """Returns a frame with the end of a sound in its first milliseconds."""
    end = _faded(ending, rate_hz, 1.0, 0.0)
    size = end.nbytes
    mixed = np.clip(np.frombuffer(frame[:size], np.int16).astype(np.int32) + end, -32_768, 32_767)
    return bytes(mixed.astype(np.int16)) + frame[size:]


def _faded(frame: bytes, rate_hz: int, first: float, last: float) -> Pcm:
    samples = np.frombuffer(frame, np.int16, _fade_samples(rate_hz))
    ramp = np.linspace(first, last, len(samples), endpoint=False)
    return np.round(samples * ramp).astype(np.int16)


def _fade_samples(rate_hz: int) -> int:
    return FADE_MS * rate_hz // 1000
