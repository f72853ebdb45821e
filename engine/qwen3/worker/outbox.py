"""The outbox writes from a thread of its own, so that the model's thread goes on however slowly its events are read."""

from __future__ import annotations

import contextlib
import queue
import threading
from types import TracebackType
from typing import BinaryIO


class Outbox:
    """Writes byte strings to a pipe, in order. A pipe holds 64 KiB, and one step of a full batch makes megabytes.

    What waits here has no bound of its own: a sentence's sound is made some seconds ahead at most. At the end of a
    `with` everything has been written, or nobody reads it any more.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="outbox", daemon=True)

    def put(self, data: bytes) -> None:
        """Queues data to be written. Never blocks."""
        self._waiting.put(data)

    def __enter__(self) -> Outbox:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _write(self) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # the reader is gone, or the stream is closed
            while (data := self._waiting.get()) is not None:
                self._stream.write(data)
                self._stream.flush()
