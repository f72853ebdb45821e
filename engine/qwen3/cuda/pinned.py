"""Page-locked host memory, and the streams that keep the GPU's copies out of the way of its computing."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from engine.errors import first_line


class PinnedPool:
    """Host buffers of one size, lent and given back; allocated before the first call, none in the steady state.

    A copy from the GPU into page-locked memory runs beside the GPU's work and needs no host thread. Where locking
    fails (a container's memlock limit) the buffers are ordinary ones: copies then wait, and `warning` says so.
    """

    def __init__(self, elements: int, dtype: torch.dtype, count: int, pin: bool = True) -> None:
        self._elements, self._dtype = elements, dtype
        self.pinned = pin
        self.warning: str | None = None
        self._free: deque[Tensor] = deque()
        for _ in range(count):
            self._free.append(self._allocate())

    def take(self) -> Tensor:
        """Returns a buffer, [elements]. A pool that has run out grows by one."""
        return self._free.popleft() if self._free else self._allocate()

    def give(self, buffer: Tensor) -> None:
        """Takes a buffer back; nothing may read or write it any more."""
        self._free.append(buffer)

    @property
    def free(self) -> int:
        return len(self._free)

    def _allocate(self) -> Tensor:
        if self.pinned:
            try:
                return torch.empty(self._elements, dtype=self._dtype, pin_memory=True)
            except RuntimeError as error:
                self.pinned = False
                reason = first_line(error)
                self.warning = f"page-locked memory: {reason}; using ordinary memory, copies from the GPU are slower"
        return torch.empty(self._elements, dtype=self._dtype)


TEXT_BYTES: Final = (2**15, 2**16, 2**17)
"""The bytes of the embeddings of a sentence of 8, 16 and 32 tokens, on their way to the GPU."""
TEXTS: Final = 64
"""How many of each may be on their way at once before torch's pool has to grow."""


def fill_pool() -> None:
    """Grows torch's pool of page-locked memory to what many sentences at once take.

    CUDA gives out more of it only when the GPU has nothing to do, and calls that speak would wait for that.
    """
    with contextlib.suppress(RuntimeError):  # cannot be locked: PinnedPool tells of that
        _ = [torch.empty(size, dtype=torch.uint8, pin_memory=True) for size in TEXT_BYTES for _ in range(TEXTS)]


@dataclass(frozen=True, slots=True)
class Streams:
    """The queues of work on the GPU: frames go first, sound fills what they leave, copies run beside both."""

    frames: torch.cuda.Stream
    sound: torch.cuda.Stream
    copies: torch.cuda.Stream

    @staticmethod
    def make(device: torch.device, separate: bool = True) -> Streams:
        """Returns three streams, or one for all with `separate` false, to measure what the separation is worth."""
        stream: Any = torch.cuda.Stream  # untyped in torch
        frames, copies = stream(device, priority=-1), stream(device, priority=-1)
        if not separate:
            return Streams(frames, frames, frames)
        return Streams(frames, stream(device), copies)
