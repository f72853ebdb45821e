"""What a caller sends tick by tick: speech, keys or silence. It does no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from bridge.line.audiosocket import FRAME_MS, KIND_OF_RATE, Kind, encode

DIGIT_TICKS: Final = 5
"""A key is pressed for 100 ms, in which Asterisk sends no audio. The pause to the next is as long, and has audio."""


class Handset:
    """Makes the message that Asterisk would send in each tick of 20 ms."""

    def __init__(self, rate_hz: int, *, keep_audio: bool = False) -> None:
        self.rate_hz = rate_hz
        self.frame_bytes = 2 * rate_hz * FRAME_MS // 1000
        self.spoken = bytearray()
        """Everything the caller sent, silence included, if `keep_audio` is set."""
        self.line: Callable[[bytes], bytes] | None = None
        """What the line makes of each frame of sound, if it is not a perfect one."""
        self.ticks = 0
        """How many ticks there were."""
        self._keep_audio = keep_audio
        self._speech = bytearray()
        self._repeat = b""
        self._digits: deque[str] = deque()
        self._digit_ticks = 0

    def speak(self, pcm: bytes, *, repeat: bool = False) -> None:
        """Says `pcm` (16-bit little-endian mono at `rate_hz`) once all before it is said; over and over if `repeat`."""
        self._speech += pcm
        self._repeat = pcm if repeat else b""

    @property
    def speaking(self) -> bool:
        """Tells whether there is still something to be said."""
        return bool(self._speech)

    @property
    def due_ticks(self) -> int:
        """Tells in how many ticks from the first one all is said that is to be said now, if no key is pressed."""
        return self.ticks + -(-len(self._speech) // self.frame_bytes)

    def press(self, digits: str) -> None:
        """Presses the keys `digits`, one after the other."""
        self._digits.extend(digits)

    def tick(self) -> bytes:
        """Returns the message of this tick; it is empty while a key is pressed."""
        self.ticks += 1
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
        if self.line is not None:
            frame = self.line(frame)
        self._keep(frame)
        return encode(KIND_OF_RATE[self.rate_hz], frame)

    def _keep(self, frame: bytes) -> None:
        if self._keep_audio:
            self.spoken += frame
