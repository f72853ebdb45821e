"""Puts the sound that came of a call where it was made, for a recording. No I/O, the time is handed in.

A recording can wait until it is known how late a piece was; a recogniser cannot.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from bridge.hearing.audio_clock import AudioClock

HOLD_MS: Final = 3_000
"""How long sound is held back: what comes later than this is left out of the recording."""
NEAR_MS: Final = 20
"""A piece that lies so near the one before it follows it directly."""


class Aligner:
    """One call's audio, HOLD_MS late, each piece in its place and silence between them."""

    def __init__(self, clock: AudioClock) -> None:
        self._clock = clock
        self._held: deque[tuple[float, bytes]] = deque()
        self._rate_hz = 8_000
        self._given_samples = 0

    def push(self, pcm: bytes, rate_hz: int, start_ms: float) -> None:
        """Takes sound that came, 16-bit mono of one rate, and its place in the audio."""
        if rate_hz != self._rate_hz:  # so far there was only silence
            self._given_samples = self._given_samples * rate_hz // self._rate_hz
            self._rate_hz = rate_hz
        self._held.append((start_ms, pcm))

    def take(self, now_ms: float) -> bytes:
        """Returns what has been held long enough, `now_ms` after the answer."""
        until_ms = now_ms - HOLD_MS
        taken = []
        while self._held and (at_ms := self._clock.call_ms(self._held[0][0])) <= until_ms:
            taken.append(self._placed(at_ms, self._held.popleft()[1]))
        if not self._held:
            taken.append(self._silence(until_ms))
        return b"".join(taken)

    def rest(self) -> bytes:
        """Returns what is still held."""
        held, self._held = self._held, deque()
        return b"".join(self._placed(self._clock.call_ms(start_ms), pcm) for start_ms, pcm in held)

    def _placed(self, at_ms: float, pcm: bytes) -> bytes:
        at_ms = max(at_ms, 0.0)  # nothing was made before the answer
        early_ms = self._given_samples * 1000 / self._rate_hz - at_ms
        if early_ms > NEAR_MS:
            pcm = pcm[round(early_ms * self._rate_hz / 1000) * 2 :]
        silence = self._silence(at_ms)
        self._given_samples += len(pcm) // 2
        return silence + pcm

    def _silence(self, until_ms: float) -> bytes:
        missing = round(until_ms * self._rate_hz / 1000) - self._given_samples
        if missing * 1000 <= NEAR_MS * self._rate_hz:
            return b""
        self._given_samples += missing
        return bytes(missing * 2)
