"""What chan_websocket holds of a call's sound before the caller hears it: about a frame. No I/O.

Asterisk plays a frame every 20 ms by a clock of its own. Ours and that one drift apart, and after a stall the frames
that we make up for stay in its queue: without a hand on it, the caller would hear everything later and later.
"""

from __future__ import annotations

from typing import Final

from bridge.line.audiosocket import FRAME_MS
from bridge.line.websocket import Opcode, command, encode

EMPTY: Final = 1
"""The frames that Asterisk finds when it takes one, if each comes just before it is played."""
FEWEST: Final = 2
"""With fewer, Asterisk plays silence between two of our frames when one is a little late."""
MOST: Final = 3
"""With more, a frame of silence is left out as soon as there is one."""
MARK_EVERY: Final = 50
"""The number of frames from one mark to the next: Asterisk is asked once a second how far it is."""
FIRST_MARK: Final = 3
"""After so many frames Asterisk is asked for the first time, before it has a greeting to play."""
END: Final = "end"


class AsteriskQueue:
    """Makes what is written of each frame, and counts the frames that Asterisk has not played."""

    def __init__(self) -> None:
        self.held = EMPTY
        """The frames that Asterisk finds when it takes one, as far as it has told."""
        self._sent = 0
        self._mark_at = FIRST_MARK
        self._flushed_at = 0
        """The number of frames sent before the last flush, which takes marks with it."""

    def write(self, pcm: bytes) -> bytes:
        """Returns what is to be written for the frame of this tick, nothing at times."""
        frames = 1
        if not FEWEST <= self.held <= MOST and pcm.count(0) == len(pcm):
            frames = 0 if self.held > MOST else 2
            self.held += frames - 1
        self._sent += frames
        data = encode(Opcode.BINARY, pcm) * frames
        if self._sent >= self._mark_at:
            self._mark_at = self._sent + MARK_EVERY
            data += command("MARK_MEDIA", correlation_id=str(self._sent))
        return data

    def marked(self, mark: str) -> bool:
        """Takes from Asterisk that it has come to a mark; tells whether it is that of the end."""
        if mark == END:
            return True
        if mark.isascii() and mark.isdigit() and self._flushed_at < int(mark[:12]) <= self._sent:
            self.held = self._sent - int(mark[:12])
        return False

    def flush(self) -> tuple[bytes, int]:
        """Returns what has Asterisk drop the frames it holds, and how many milliseconds those are."""
        held_ms, self.held = max(self.held - 1, 0) * FRAME_MS, EMPTY
        self._flushed_at, self._mark_at = self._sent, self._sent + FIRST_MARK
        return command("FLUSH_MEDIA"), held_ms

    def end(self) -> bytes:
        """Returns a mark behind all that was sent."""
        return command("MARK_MEDIA", correlation_id=END)
