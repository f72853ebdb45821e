"""What a caller does, tick by tick: speak, press digits, be silent. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

from bridge.line.audiosocket import FRAME_MS, KIND_OF_RATE, Kind, encode

DIGIT_TICKS: Final = 5
"""A digit is pressed for 100 ms, in which Asterisk sends no audio; as long is the pause to the next, with audio."""


class Handset:
    """Makes the message that Asterisk would send in each 20 ms."""

    def __init__(self, rate_hz: int, *, keep_audio: bool = False) -> None:
        self.rate_hz = rate_hz
        self.frame_bytes = 2 * rate_hz * FRAME_MS // 1000
        self.spoken = bytearray()
        """All that was said, with silence where nothing was, if `keep_audio`."""
        self._keep_audio = keep_audio
        self._speech = bytearray()
        self._repeat = b""
        self._digits: deque[str] = deque()
        self._digit_ticks = 0

    def speak(self, pcm: bytes, *, repeat: bool = False) -> None:
        """Say 16-bit little-endian mono at `rate_hz`, after what is still to be said; over and over if `repeat`."""
        self._speech += pcm
        self._repeat = pcm if repeat else b""

    @property
    def speaking(self) -> bool:
        """There is still something to be said."""
        return bool(self._speech)

    def press(self, digits: str) -> None:
        """Press digits, one after the other."""
        self._digits.extend(digits)

    def tick(self) -> bytes:
        """The message of this tick; empty while a digit is pressed."""
        if not self._digits and not self._digit_ticks:
            return self._audio()
        self._digit_ticks += 1
        if self._digit_ticks > DIGIT_TICKS:
            if self._digit_ticks == 2 * DIGIT_TICKS:
                self._digit_ticks = 0
            return self._audio()
        self._keep(bytes(self.frame_bytes))
        return encode(Kind.DTMF, self._digits.popleft().encode()) if self._digit_ticks == DIGIT_TICKS else b""

    def _audio(self) -> bytes:
        frame = bytes(self._speech[: self.frame_bytes])
        del self._speech[: self.frame_bytes]
        if not self._speech:
            self._speech += self._repeat
        frame = frame.ljust(self.frame_bytes, b"\0")
        self._keep(frame)
        return encode(KIND_OF_RATE[self.rate_hz], frame)

    def _keep(self, frame: bytes) -> None:
        if self._keep_audio:
            self.spoken += frame
