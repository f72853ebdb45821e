"""What one sentence may still bring over a link; no I/O. An engine that sends more, or else, is not to be trusted."""

from __future__ import annotations

from typing import Final

from engine.link.frames import Frame, Kind, WrongBytes
from engine.link.messages import read_starts

MAX_SOUND_BYTES: Final = 24 * 2**20
"""Eight minutes: more than the pipeline takes of a sentence, and all that may be on its way when it stops taking."""
MIN_PIECE_BYTES: Final = 480
"""10 ms at 24 kHz. An engine sends 20 ms and more at once, but for a sentence's last pieces."""
SHORT_PIECES: Final = 100
"""So many pieces of a sentence may be shorter."""


class Incoming:
    """Checks what comes for one sentence, in order."""

    def __init__(self, chars: int) -> None:
        """`chars` is the length of the sentence's text, which has no more words than that."""
        self.ended = False
        self._words_left = chars + 1
        self._bytes = 0
        self._pieces = 0

    def check(self, frame: Frame) -> None:
        """Raises WrongBytes where the frame may not come."""
        if frame.kind == Kind.PCM:
            self._check_sound(len(frame.payload))
        elif frame.kind == Kind.WORDS:
            self._check_starts(read_starts(frame.payload))
        elif frame.kind in (Kind.END, Kind.FAILED):
            self.ended = True
        else:
            raise WrongBytes(f"a frame of kind {frame.kind} for a sentence")

    def _check_sound(self, size: int) -> None:
        self._bytes += size
        self._pieces += 1
        if not size or size % 2:
            raise WrongBytes(f"a piece of sound of {size} bytes")
        if self._bytes > MAX_SOUND_BYTES:
            raise WrongBytes("a sentence without end")
        if self._pieces > SHORT_PIECES and self._bytes < self._pieces * MIN_PIECE_BYTES:
            raise WrongBytes("a flood of small pieces of sound")

    def _check_starts(self, starts: list[int]) -> None:
        self._words_left -= max(1, len(starts))
        if self._words_left < 0 or min(starts, default=0) < 0:
            raise WrongBytes("beginnings of words that the sentence does not have")
