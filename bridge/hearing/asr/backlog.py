"""A call's audio on its way to the recogniser: what waits, and what was sent but not yet answered. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

WAITING_MS: Final = 8_000
"""Audio kept while the service is away. What is older is no longer an answer but a surprise."""
UNANSWERED_MS: Final = 5_000
"""Audio kept after it was sent, until its transcript comes: a service that dies takes what it had heard with it, and
the next connection hears it again. Of a longer sentence the beginning is lost then."""


class Backlog:
    """Pieces of `chunk_ms` each, in order. What is dropped is the oldest, and counted."""

    def __init__(self, chunk_ms: int) -> None:
        self.position_ms = 0
        """Where in the call's audio the next piece to be taken begins."""
        self.dropped_ms = 0
        """Audio that no connection ever got."""
        self._chunk_ms = chunk_ms
        self._waiting: deque[bytes] = deque()
        self._sent: deque[bytes] = deque()
        self._over = 0
        """How many of the pieces sent are of speech that is over, whose transcript is to come."""

    def put(self, chunk: bytes) -> None:
        """The newest piece."""
        self._waiting.append(chunk)
        self._drop_late()

    def take(self) -> bytes | None:
        """The next piece to send, if there is one."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        self.position_ms += self._chunk_ms
        self._sent.append(chunk)
        if len(self._sent) * self._chunk_ms > UNANSWERED_MS:
            self._forget(1)
        return chunk

    def speech_ended(self) -> None:
        """The caller has stopped: the next transcript is of what was sent up to here."""
        self._over = len(self._sent)

    def answered(self) -> None:
        """A final transcript has come."""
        self._forget(self._over or len(self._sent))

    def rewind(self) -> bool:
        """The connection is lost: what it has not answered goes out again. Whether speech that was over is in it."""
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
