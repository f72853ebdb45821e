"""Cuts the silence before and after a sentence while it is streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", np.float32, np.int16)

WINDOW_SAMPLES: Final = 240  # 10 ms, looked at together


class SilenceTrim(Generic[S]):
    """Passes on samples between the first and the last sound, pauses included."""

    def __init__(
        self, silence_dbfs: float, before_samples: int, after_samples: int, window_samples: int = WINDOW_SAMPLES
    ) -> None:
        """Keeps `before_samples` (whole windows) before the first sound; fades `after_samples` out after the last."""
        self.cut_samples = 0
        """The number of samples cut before the first sound; known once there is one."""
        self._silence = 10 ** (silence_dbfs / 20)
        self._before_samples, self._after_samples = before_samples, after_samples
        self._window_samples = window_samples
        self._held: NDArray[S] | None = None
        self._judged = 0
        """The samples that are known to be sound or silence, from the first one held."""
        self._sound = 0
        """Those of them until the last sound."""
        self._begun = False

    def push(self, sound: NDArray[S], levels: NDArray[np.float32] | None = None) -> NDArray[S]:
        """Returns the samples that surely belong to the sentence; silence is held back until sound follows it.

        levels: the RMS of the next windows, where that is known, of other samples perhaps than those that have come.
        """
        self._held = sound if self._held is None else np.concatenate((self._held, sound))
        if levels is None:
            new = self._held[self._judged :]
            windows = new[: new.size // self._window_samples * self._window_samples].reshape(-1, self._window_samples)
            levels = np.sqrt(np.mean(windows**2, axis=1))
        loud = np.flatnonzero(levels > self._silence) * self._window_samples + self._judged
        self._judged += levels.size * self._window_samples
        start = 0
        if loud.size:
            self._sound = int(loud[-1]) + self._window_samples
        if not self._begun:
            first = int(loud[0]) if loud.size else self._judged
            start = min(max(0, first - self._before_samples), self._held.size)
        self._begun = self._begun or loud.size > 0
        end = min(max(start, self._sound), self._held.size)
        out, self._held = self._held[start:end], self._held[end:]
        self._judged, self._sound = self._judged - end, max(0, self._sound - end)
        self.cut_samples += start
        return out

    def flush(self) -> NDArray[S]:
        """Returns the end of the sentence, faded out so that it stops without a click."""
        assert self._held is not None
        tail = self._held[: self._after_samples if self._begun else 0]
        faded = tail * np.linspace(1, 0, tail.size, dtype=np.float32)
        return (faded if tail.dtype.kind == "f" else np.rint(faded)).astype(tail.dtype)

    def trimmed(self, sound: Iterable[NDArray[S]]) -> Iterator[NDArray[S]]:
        """Yields what is left of a whole sound as its blocks come."""
        for block in sound:
            if (out := self.push(block)).size:
                yield out
        if self._held is not None and (out := self.flush()).size:
            yield out
