"""The recorded calls of RECORD_DIR: what each was, read from the beginning and the end of its journal."""

from __future__ import annotations

import heapq
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.conversation.next_destination import HANG_UP
from bridge.conversation.recording_retention import RECORDING_NAME

MAX_CALLS: Final = 5_000
"""How many calls are known, the latest ones: more would be read for long, and nobody scrolls so far."""
END_BYTES: Final = 65_536
"""How much of a journal's beginning and end is read."""
SLICE: Final = 50
"""After so many files the thread rests, so that the clock of the calls need not wait for Python's lock."""
NAMES: Final = 2_000
"""After so many names it does."""
REST_S: Final = 0.002
SETTLED_S: Final = 600.0
"""A journal that was written for the last time so long ago, with the end of its call, is not looked at again."""


Mark = tuple[int, int]
"""When a file was written for the last time, in ns, and its size."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """What a list says of a call."""

    name: str
    """What its files are called: the call's UUID, with a number behind it where that was there before."""
    id: str
    from_: str
    to: str
    agent_name: str
    started: str
    """The time of day, in UTC."""
    duration_ms: int
    ended: bool
    outcome: str
    """Why it ended, and where the dialplan went on; empty for one that goes on, or was broken off."""

    def described(self) -> dict[str, Any]:
        """Returns it in a form fit for JSON."""
        return {name.rstrip("_"): getattr(self, name) for name in self.__slots__}

    def matches(self, terms: Iterable[str]) -> bool:
        """Tells whether each of the terms, in small letters, is part of its numbers, agent, outcome or name."""
        text = "\n".join((self.from_, self.to, self.agent_name, self.outcome, self.name)).casefold()
        return all(term in text for term in terms)


class RecordedCalls:
    """The calls of some folders. Its methods read files: call them in a thread, one at a time."""

    def __init__(
        self,
        folders: Callable[[], Iterable[Path]],
        rest: Callable[[float], None] = time.sleep,
        time_of_day_s: Callable[[], float] = time.time,
    ) -> None:
        """`folders` returns where recordings lie now."""
        self._folders, self._rest, self._time_of_day_s = folders, rest, time_of_day_s
        self._known: dict[str, tuple[Mark, RecordedCall | None]] = {}
        """The journals that were read, by their paths, each with its time and size then."""

    def search(self, terms: Iterable[str], limit: int) -> list[RecordedCall]:
        """Returns the latest calls that match, the latest first."""
        terms = [term.casefold() for term in terms]
        found: dict[str, tuple[Mark, RecordedCall | None]] = {}
        read = 0
        for path, mark in self._journals():
            known = self._known.get(path)
            if known is None or known[0] != mark:
                known = (mark, summarise(Path(path)))
                if (read := read + 1) % SLICE == 0:
                    self._rest(REST_S)
            found[path] = known
        self._known = found
        calls = (call for _, call in found.values() if call is not None and call.matches(terms))
        return heapq.nlargest(limit, calls, key=lambda call: call.started)

    def find(self, name: str) -> Path | None:
        """Returns the path of a recorded call's journal, beside which its sound may lie; None where there is none."""
        if not RECORDING_NAME.fullmatch(f"{name}.jsonl"):
            return None
        return next((path for folder in self._folders() if (path := folder / f"{name}.jsonl").is_file()), None)

    def _journals(self) -> list[tuple[str, Mark]]:
        """Returns the paths of the latest journals, each with its time in ns and its size."""
        return heapq.nlargest(MAX_CALLS, self._all(), key=lambda found: found[1][0])

    def _all(self) -> Iterator[tuple[str, Mark]]:
        settled_ns = int((self._time_of_day_s() - SETTLED_S) * 1e9)
        seen = looked_at = 0
        for folder in set(self._folders()):
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if (seen := seen + 1) % NAMES == 0:
                            self._rest(REST_S)
                        if not entry.name.endswith(".jsonl"):
                            continue
                        mark, call = self._known.get(entry.path, ((0, 0), None))
                        if call is not None and call.ended and mark[0] < settled_ns:
                            yield entry.path, mark
                        elif RECORDING_NAME.fullmatch(entry.name):
                            status = entry.stat(follow_symlinks=False)
                            if (looked_at := looked_at + 1) % SLICE == 0:
                                self._rest(REST_S)
                            yield entry.path, (status.st_mtime_ns, status.st_size)
            except OSError:
                continue  # nothing has been recorded yet, or a recording was removed meanwhile


def summarise(path: Path) -> RecordedCall | None:
    """Returns what a journal's beginning and end say of its call; None where it is no journal."""
    try:
        with open(path, "rb") as file:
            beginning = file.readline(END_BYTES)
            file.seek(max(0, os.fstat(file.fileno()).st_size - END_BYTES))
            end = file.read(END_BYTES)
    except OSError:
        return None
    first = _event(beginning)
    if first.get("type") != "call.started":
        return None
    last_ms, outcome, ended = 0, "", False
    for line in reversed(end.splitlines()):
        event = _event(line)
        last_ms = max(last_ms, _number(event.get("at_ms")))
        if event.get("type") == "call.ended":
            ended, outcome = True, _outcome(_text(event, "reason"), _text(event, "next"))
            break
    return RecordedCall(
        name=path.stem,
        id=_text(first, "call_id"),
        from_=_text(first, "from"),
        to=_text(first, "to"),
        agent_name=_text(first, "agent_name"),
        started=_text(first, "time"),
        duration_ms=last_ms,
        ended=ended,
        outcome=outcome,
    )


def _outcome(reason: str, goes_on: str) -> str:
    return f"{reason} → {goes_on}" if goes_on and goes_on != HANG_UP else reason


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
