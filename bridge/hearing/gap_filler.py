"""Makes one unbroken stream of audio that comes in pieces: what has not come by the clock becomes silence. No I/O.

The caller's side sends nothing in DTX and on hold; our side has sent nothing where the clock had to skip a tick. Sound
that was only held back comes after its place has been filled. It is kept, and as much silence is taken away later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from bridge.hearing.audio_clock import AudioClock
from engine.audio import RateConverter

LATE_MS: Final = 100
"""The most by which audio is late on a working line. If it is later, nothing is being sent."""
QUIET_LEVEL: Final = 330
"""Samples that are no louder are silence: -40 dBFS."""
QUIET_MS: Final = 1_000
"""How long it is silent before silence is taken away. Less may be a pause in speech, or be needed to tell its end."""


class GapFiller:
    """Fills the gaps in one call's audio. It returns everything at one rate, the first that came (8 kHz until then)."""

    def __init__(
        self,
        now_s: float,
        on_sound: Callable[[bytes, int, float], None] | None = None,
        clean: Callable[[bytes, int], bytes] | None = None,
    ) -> None:
        """`on_sound` is called with what came, at this filler's rate, the rate, and its place in the stream in ms.

        `clean` is called with all that comes, at the rate given, and returns what is passed on in its place.
        """
        self.clock = AudioClock()
        """Tells when the sound at a place of the stream was made."""
        self._on_sound = on_sound
        self._clean = clean
        self._start_s = now_s
        self.rate_hz = 8_000
        self._given_samples = 0
        self._shift_samples = 0
        """How much silence was filled in, less what was taken away."""
        self._quiet_samples = 0
        """How long it has been silent, while the stream is ahead of the clock."""
        self._converter: RateConverter | None = None

    @property
    def position_ms(self) -> int:
        """The duration of the audio so far, filled gaps included."""
        return self._given_samples * 1000 // self.rate_hz

    def push(self, pcm: bytes, rate_hz: int, now_s: float) -> bytes:
        """Returns the silence that belongs before `pcm`, and `pcm`. Both are 16-bit little-endian mono."""
        if self._converter is None:
            self._converter = RateConverter(rate_hz)
            self._given_samples = self._given_samples * rate_hz // self.rate_hz
            self._shift_samples = self._shift_samples * rate_hz // self.rate_hz
            self.rate_hz = rate_hz
        if rate_hz != self.rate_hz:
            pcm = self._converter.push(pcm, rate_hz).tobytes()
        came = len(pcm) // 2
        silence = self._missing(now_s - came / self.rate_hz)
        cleaned = pcm if self._clean is None else self._clean(pcm, self.rate_hz)
        if self._is_too_much(pcm, now_s):
            self._shift_samples -= came
            return cleaned[: max(len(cleaned) - len(pcm), 0)]  # no more than was kept back before
        start_ms = self._given_samples * 1000 / self.rate_hz
        self._given_samples += came
        if came:
            end_ms, shift_ms = start_ms + came * 1000 / self.rate_hz, self._shift_samples * 1000 / self.rate_hz
            self.clock.came(start_ms, end_ms, shift_ms, (now_s - self._start_s) * 1000)
            if self._on_sound is not None:
                self._on_sound(pcm, self.rate_hz, start_ms)
        return silence + cleaned

    def fill(self, now_s: float) -> bytes:
        """Returns the silence that is due because nothing has come."""
        return self._missing(now_s)

    def _missing(self, until_s: float) -> bytes:
        """Returns silence for the audio that should have come by `until_s` and has not."""
        missing = self._expected_samples(until_s) - self._given_samples
        if missing * 1000 <= LATE_MS * self.rate_hz:
            return b""
        self._given_samples += missing
        self._shift_samples += missing
        return bytes(missing * 2)

    def _is_too_much(self, pcm: bytes, now_s: float) -> bool:
        """Tells whether this is silence by which the stream would be ahead of the clock."""
        came = len(pcm) // 2
        if self._given_samples < self._expected_samples(now_s):
            self._quiet_samples = 0
            return False
        is_quiet = bool(came) and int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max()) <= QUIET_LEVEL
        self._quiet_samples = self._quiet_samples + came if is_quiet else 0
        return self._quiet_samples * 1000 > QUIET_MS * self.rate_hz

    def _expected_samples(self, at_s: float) -> int:
        return round((at_s - self._start_s) * self.rate_hz)
