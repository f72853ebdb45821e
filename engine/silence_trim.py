"""Cuts the silence before and after a sentence while it is streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW_SAMPLES: Final = 240  # 10 ms, looked at together


class SilenceTrim:
    """Passes on float32 samples between the first and the last sound, pauses included."""

    def __init__(self, silence_dbfs: float, before_samples: int, after_samples: int) -> None:
        """Keeps `before_samples` (whole windows) before the first sound; fades `after_samples` out after the last."""
        self.cut_samples = 0
        """The number of samples cut before the first sound; known once there is one."""
        self._silence = 10 ** (silence_dbfs / 20)
        self._before_samples, self._after_samples = before_samples, after_samples
        self._held = np.zeros(0, np.float32)
        self._begun = False

    def push(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the samples that surely belong to the sentence; silence is held back until sound follows it."""
        self._held = np.concatenate((self._held, sound))
        windows = self._held[: self._held.size // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)
        loud = np.flatnonzero(np.sqrt(np.mean(windows**2, axis=1)) > self._silence)
        first = int(loud[0]) if loud.size else len(windows)
        start = 0 if self._begun else max(0, first * WINDOW_SAMPLES - self._before_samples)
        end = (int(loud[-1]) + 1) * WINDOW_SAMPLES if loud.size else start
        self._begun = self._begun or loud.size > 0
        out, self._held = self._held[start:end], self._held[end:]
        self.cut_samples += start
        return out

    def flush(self) -> NDArray[np.float32]:
        """Returns the end of the sentence, faded out so that it stops without a click."""
        tail = self._held[: self._after_samples if self._begun else 0]
        return tail * np.linspace(1, 0, tail.size, dtype=np.float32)

    def trimmed(self, sound: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yields what is left of a whole sound as its blocks come."""
        for block in sound:
            if (out := self.push(block)).size:
                yield out
        if (out := self.flush()).size:
            yield out
