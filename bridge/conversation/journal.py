"""Tells what happens in a conversation as it happens, and keeps it: as the journal's lines, and as a transcript."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import structlog

from bridge.conversation.trace import TurnTrace
from bridge.hearing.events import out
from bridge.journal.floor import FloorKeeper
from bridge.journal.kept_lines import KeptLines
from bridge.journal.privacy import Privacy

log = structlog.get_logger(__name__)

MAX_ENTRIES: Final = 5_000
MAX_CHARS: Final = 400_000
"""How much of a transcript is kept, some eight hours of speech; beyond that its beginning is forgotten."""
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)

Told = TypeVar("Told")


def encoded(event: dict[str, Any]) -> str:
    """Returns an event as JSON, without lone surrogates, which are no UTF-8."""
    line = _ENCODER.encode(event)
    return line if line.isascii() else line.encode(errors="replace").decode()


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

    def __init__(
        self,
        call_id: str,
        clock_ms: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
        time_of_day_s: Callable[[], float] = time.time,
        privacy: Privacy | None = None,
    ) -> None:
        """`privacy` says what of an event stands in its line; without it all does."""
        self.observers: list[Callable[[dict[str, Any]], None]] = []
        """Each is called with every event that is told, in the form that `bridge.hearing.events.out` gives it."""
        self.listeners: list[Callable[[str], None]] = []
        """Each is called with every event that is told, as JSON, which is made once for all of them."""
        self.followers: list[Callable[[str], None]] = []
        """Each is called with every line: the events that are told, and those that are only noted."""
        self.readers: list[Callable[[dict[str, Any]], None]] = []
        """Each is called with what stands in every line."""
        self.lines = KeptLines()
        self.entries: deque[Entry] = deque()
        self.clock_ms = clock_ms
        """Returns the time since the call was answered."""
        self._now_s, self._time_of_day_s = now_s, time_of_day_s
        self.chars = 0
        """How long the texts of all entries are together."""
        self._number = self._turns = 0
        self._floor = FloorKeeper()
        self._call_id = call_id
        self._privacy = privacy or Privacy()
        self._failing: list[Callable[..., None]] = []
        """Those who have failed at what they were told, which is logged once of each."""

    @property
    def audience(self) -> int:
        """How many are told of the call's events."""
        return len(self.observers) + len(self.listeners) + len(self.followers) + len(self.readers)

    def tell(self, kind: str, **fields: Any) -> None:
        """Tells everybody of an event."""
        event, kept, line = self._write(kind, fields)
        self._tell_each(self.observers, event)
        if self.listeners:
            self._tell_each(self.listeners, line if kept is event else encoded(event))
        self._note_floor(kind)

    def note(self, kind: str, **fields: Any) -> None:
        """Tells those who follow the lines of an event; the others read those that they know, in an order they know."""
        self._write(kind, fields)
        self._note_floor(kind)

    def _write(self, kind: str, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Writes a line. Returns the event, the event as it is kept, and the line, which is that as JSON."""
        self._number += 1
        time_of_day = datetime.fromtimestamp(self._time_of_day_s(), UTC).isoformat(timespec="milliseconds")
        event = out(
            kind,
            self._call_id,
            at_ms=self.clock_ms(),
            number=self._number,
            monotonic_s=round(self._now_s(), 6),
            time=time_of_day.replace("+00:00", "Z"),
            **fields,
        )
        kept = self._privacy.kept(event)
        line = encoded(kept)
        self.lines.add(line)
        self._tell_each(self.followers, line)
        self._tell_each(self.readers, kept)
        return event, kept, line

    def _tell_each(self, audience: list[Callable[[Told], None]], told: Told) -> None:
        """Tells everybody. Whoever fails at it harms neither the call nor the others, and is told what comes later."""
        for each in tuple(audience):
            try:
                each(told)
            except Exception:
                if each not in self._failing:  # it may fail at every line
                    self._failing.append(each)
                    log.exception("somebody who is told of a call fails at it", call=self._call_id)

    def _note_floor(self, kind: str) -> None:
        if (floor := self._floor.after(kind)) is not None:
            self._write("floor.changed", {"floor": floor})

    def user(self, text: str, start_ms: int, end_ms: int) -> None:
        """Notes what the caller has said."""
        start_ms = min(start_ms, end_ms)
        self._keep(Entry("user", text, start_ms, end_ms))
        self.tell("transcript.user", text=text, start_ms=start_ms, end_ms=end_ms)

    def agent(self, text: str, start_ms: int, *, interrupted: bool, trace: dict[str, int], unheard: str = "") -> None:
        """Notes what the caller has heard of the agent's turn, and what was to follow."""
        end_ms = self.clock_ms()
        self._keep(Entry("agent", text, start_ms, end_ms, interrupted, trace or None))
        times = {"start_ms": start_ms, "end_ms": end_ms}
        self.tell("transcript.agent", text=text, interrupted=interrupted, unheard=unheard or None, **times)

    def turn(self, trace: TurnTrace, *, interrupted: bool) -> None:
        """Notes when a turn of the agent's that is over reached which stage."""
        self._turns += 1
        answered_s = self._now_s() - self.clock_ms() / 1000
        self.note("turn.done", **trace.turn(self._turns, answered_s, interrupted=interrupted))

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.chars += len(entry.text)
        while len(self.entries) > MAX_ENTRIES or (self.chars > MAX_CHARS and len(self.entries) > 1):
            self.chars -= len(self.entries.popleft().text)

    def transcript(self) -> list[dict[str, Any]]:
        """Returns all entries in a form fit for JSON."""
        return [asdict(entry) for entry in self.entries]
