"""The lines of journals that are kept in memory, for those who follow a call from its beginning."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

MAX_CHARS: Final = 2_000_000
"""How much is kept of one call, some six hours of talk; beyond that the oldest are forgotten, all but the first."""


class KeptLines:
    """A journal's lines, each as JSON without a line's end."""

    def __init__(self) -> None:
        self.chars = 0
        self._first = ""
        """The line that says whose journal this is, and in which version."""
        self._later: deque[str] = deque()

    def add(self, line: str) -> None:
        self.chars += len(line)
        if not self._first:
            self._first = line
            return
        self._later.append(line)
        while self.chars > MAX_CHARS and len(self._later) > 1:
            self.chars -= len(self._later.popleft())

    def forget(self) -> None:
        """Drops all lines."""
        self.chars, self._first = 0, ""
        self._later.clear()

    def __iter__(self) -> Iterator[str]:
        if self._first:
            yield self._first
        yield from self._later


class KeptJournals:
    """The lines of calls that have ended, the latest ones, `max_chars` together."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._chars = 0
        self._journals: deque[tuple[KeptLines, int]] = deque()

    def keep(self, lines: KeptLines) -> None:
        """Keeps one more, and forgets the oldest where it is too much."""
        self._chars += lines.chars
        self._journals.append((lines, lines.chars))
        while self._chars > self._max_chars and len(self._journals) > 1:
            oldest, chars = self._journals.popleft()
            self._chars -= chars
            oldest.forget()

    def drop(self, lines: KeptLines) -> None:
        """Keeps no longer what nobody can ask for any more: the oldest, if it has not been forgotten already."""
        if self._journals and self._journals[0][0] is lines:
            self._chars -= self._journals.popleft()[1]
