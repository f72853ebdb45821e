"""The beginnings of a sentence's words, in however many readings they come; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Words:
    """Tells the beginnings of words once, in however many readings they come."""

    def __init__(self, tell: Callable[[Sequence[int]], None] | None) -> None:
        self._tell = tell
        self._told = 0
        self._seen = 0

    def begin_again(self) -> None:
        """Notes that the sentence is read from its beginning."""
        self._seen = 0

    def tell(self, starts: Sequence[int]) -> None:
        """Takes the beginnings of the next words of a reading."""
        new = starts[max(0, self._told - self._seen) :]
        self._seen += len(starts)
        if new and self._tell is not None:
            self._told += len(new)
            self._tell(new)
