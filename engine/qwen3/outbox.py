"""Sends from a thread of its own: whoever has something to say goes on at once, however slowly it is read."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from itertools import count
from types import TracebackType
from typing import BinaryIO

AT_ONCE = -math.inf
"""What does not wait for any sound."""
LAST = math.inf
WRITE_BYTES = 2**15
"""Of what waits, as much is written at once: four pieces of sound, which their reader is done with in a millisecond.
What is in the pipe has lost its rank."""


class Outbox:
    """Byte strings to a pipe, the earliest due first. A pipe holds 64 KiB, one step of a full batch makes megabytes.

    The reader resamples each piece of sound for its call, and cannot keep up with a GPU that makes seconds of sound
    ahead for hundreds of calls at once: what a caller needs next must not stand behind what others need later. Nothing
    bounds what waits here but what there is to say: a sentence's sound is made some seconds ahead at most. At the end
    of a `with` all of it has been written, or nobody reads it any more.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: queue.PriorityQueue[tuple[float, int, bytes]] = queue.PriorityQueue()
        self._order = count()
        self._thread = threading.Thread(target=self._write, name="outbox", daemon=True)

    def put(self, data: bytes, due_s: float = AT_ONCE) -> None:
        """From any thread. What is due at the same time goes in the order in which it was put."""
        self._waiting.put((due_s, next(self._order), data))

    def __enter__(self) -> Outbox:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiting.put((LAST, next(self._order), b""))
        self._thread.join()

    def _write(self) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # the reader is gone, or the stream is closed
            due_s = AT_ONCE
            while due_s < LAST:
                due_s, _, data = self._waiting.get()
                parts, size = [data], len(data)
                with contextlib.suppress(queue.Empty):
                    while size < WRITE_BYTES and due_s < LAST:
                        due_s, _, data = self._waiting.get_nowait()
                        parts.append(data)
                        size += len(data)
                self._stream.write(b"".join(parts))
                self._stream.flush()
