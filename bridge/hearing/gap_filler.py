"""Makes one unbroken stream of audio that comes in pieces: what has not come by the clock becomes silence. No I/O.

The caller's side sends nothing in DTX and on hold; our side has sent nothing where the clock had to skip a tick.
"""

from __future__ import annotations

from typing import Final

from engine.audio import RateConverter

LATE_MS: Final = 100
"""The most by which audio is late on a working line. If it is later, nothing is being sent."""


class GapFiller:
    """Fills the gaps in one call's audio. It returns everything at one rate, the first that came (8 kHz until then)."""

    def __init__(self, now_s: float) -> None:
        self._start_s = now_s
        self.rate_hz = 8_000
        self._given_samples = 0
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
            self.rate_hz = rate_hz
        if rate_hz != self.rate_hz:
            pcm = self._converter.push(pcm, rate_hz).tobytes()
        came_ms = len(pcm) // 2 * 1000 // self.rate_hz
        silence = self._missing(now_s - came_ms / 1000)
        self._given_samples += len(pcm) // 2
        return silence + pcm

    def fill(self, now_s: float) -> bytes:
        """Returns the silence that is due because nothing has come."""
        return self._missing(now_s)

    def _missing(self, until_s: float) -> bytes:
        """Returns silence for the audio that should have come by `until_s` and has not."""
        missing = round((until_s - self._start_s) * self.rate_hz) - self._given_samples
        if missing * 1000 <= LATE_MS * self.rate_hz:
            return b""
        self._given_samples += missing
        return bytes(missing * 2)
