"""A call's audio on its way to the recogniser: what waits, and what was sent but not yet answered. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

WAITING_MS: Final = 8_000
"""How much audio is kept while the service is away. A reply to anything older would come as a surprise."""
UNANSWERED_MS: Final = 5_000
"""How much audio is kept after it was sent, until its transcript comes. A service that dies takes what it had heard
with it, and the next connection hears it again; the beginning of a longer sentence is lost then."""


class Backlog:
    """A queue of pieces of `chunk_ms` each. When it is full it drops the oldest, and counts what it dropped."""

    def __init__(self, chunk_ms: int) -> None:
        self.position_ms = 0
        """Where in the call's audio the next piece to be taken begins."""
        self.dropped_ms = 0
        """How much audio no connection ever got."""
        self._chunk_ms = chunk_ms
        self._waiting: deque[bytes] = deque()
        self._sent: deque[bytes] = deque()
        self._over = 0
        """The number of pieces sent that belong to speech that is over and whose transcript is still to come."""

    def put(self, chunk: bytes) -> None:
        """Appends the newest piece."""
        self._waiting.append(chunk)
        self._drop_late()

    def take(self) -> bytes | None:
        """Returns the next piece to send, or None if there is none."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        self.position_ms += self._chunk_ms
        self._sent.append(chunk)
        if len(self._sent) * self._chunk_ms > UNANSWERED_MS:
            self._forget(1)
        return chunk

    def speech_ended(self) -> None:
        """Notes that the caller has stopped: the next transcript is of what was sent up to here."""
        self._over = len(self._sent)

    def answered(self) -> None:
        """Forgets the audio whose final transcript has come."""
        self._forget(self._over or len(self._sent))

    def rewind(self) -> bool:
        """Queues again what a lost connection has not answered. Returns whether speech that was over is in it."""
        ended = self._over > 0
        self.position_ms -= len(self._sent) * self._chunk_ms
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._over = 0
        self._drop_late()
        return ended

    def _forget(self, chunks: int) -> None:
        for _ in range(min(chunks, len(self._sent))):
            self._sent.popleft()
        self._over = max(self._over - chunks, 0)

    def _drop_late(self) -> None:
        while len(self._waiting) * self._chunk_ms > WAITING_MS:
            self._waiting.popleft()
            self.position_ms += self._chunk_ms
            self.dropped_ms += self._chunk_ms
