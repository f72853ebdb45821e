"""Tells observers what happens in a conversation as it happens, and keeps the transcript."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from bridge.hearing.events import out

MAX_ENTRIES: Final = 5_000
MAX_CHARS: Final = 400_000
"""How much of a transcript is kept, some eight hours of speech; beyond that its beginning is forgotten."""


@dataclass(slots=True)
class Entry:
    """One side's turn, as the transcript keeps it."""

    who: str
    """`user` or `agent`."""
    text: str
    start_ms: int
    """When it began, counted from the moment the call was answered."""
    end_ms: int
    interrupted: bool = False
    trace: dict[str, int] | None = None


class Journal:
    """One call's events and transcript."""

    def __init__(self, call_id: str, clock_ms: Callable[[], int]) -> None:
        self.observers: list[Callable[[dict[str, Any]], None]] = []
        """Each is called with every event, in the form that `bridge.hearing.events.out` gives it."""
        self.entries: deque[Entry] = deque()
        self.chars = 0
        """How long the texts of all entries are together."""
        self.clock_ms = clock_ms
        """Returns the time since the call was answered."""
        self._call_id = call_id

    def tell(self, kind: str, **fields: Any) -> None:
        """Tells every observer of an event."""
        event = out(kind, self._call_id, at_ms=self.clock_ms(), **fields)
        for observer in tuple(self.observers):
            observer(event)

    def user(self, text: str, start_ms: int, end_ms: int) -> None:
        """Notes what the caller has said."""
        start_ms = min(start_ms, end_ms)
        self._keep(Entry("user", text, start_ms, end_ms))
        self.tell("transcript.user", text=text, start_ms=start_ms, end_ms=end_ms)

    def agent(self, text: str, start_ms: int, *, interrupted: bool, trace: dict[str, int]) -> None:
        """Notes what the caller has heard of the agent's turn."""
        self._keep(Entry("agent", text, start_ms, self.clock_ms(), interrupted, trace or None))
        self.tell("transcript.agent", text=text, interrupted=interrupted)

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.chars += len(entry.text)
        while len(self.entries) > MAX_ENTRIES or (self.chars > MAX_CHARS and len(self.entries) > 1):
            self.chars -= len(self.entries.popleft().text)

    def transcript(self) -> list[dict[str, Any]]:
        """Returns all entries in a form fit for JSON."""
        return [asdict(entry) for entry in self.entries]
