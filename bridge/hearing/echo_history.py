"""Keeps the latest values of something that comes block by block, the newest first, without moving them each time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class EchoHistory:
    """The latest `length` rows of one shape; before the first one they are zeros."""

    def __init__(self, length: int, row_shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._length = length
        self._rows: NDArray[Any] = np.zeros((4 * length, *row_shape), dtype)
        self._newest = 3 * length

    def push(self, row: NDArray[Any] | float) -> None:
        """Adds the newest row, and forgets the oldest."""
        if self._newest == 0:
            kept = self._rows[: self._length - 1].copy()
            self._newest = 3 * self._length + 1
            self._rows[self._newest : self._newest + self._length - 1] = kept
        self._newest -= 1
        self._rows[self._newest] = row

    def fill(self, row: NDArray[Any] | float) -> None:
        """Makes all rows this one."""
        self._newest = 3 * self._length
        self._rows[self._newest :] = row

    @property
    def rows(self) -> NDArray[Any]:
        """The rows, the newest first. They are a view, which the next `push` changes."""
        return self._rows[self._newest : self._newest + self._length]
