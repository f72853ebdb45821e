"""Reads a call's journal from its file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from bridge.journal.events import EVENT, KINDS, VERSION, CallStarted, Line

MAX_LINE_CHARS: Final = 1_000_000
"""A longer line is none of ours."""


class WrongJournal(ValueError):
    """A file is no journal that can be read; the message says where and why."""


def read_journal(path: Path) -> list[Line]:
    """Returns the events of a journal in their order. Raises WrongJournal, OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return read_lines(file, str(path))


def read_lines(lines: Iterable[str], name: str) -> list[Line]:
    """Returns the events in lines of JSON; `name` is what messages call them. Raises WrongJournal.

    A last line without its end is what a server was writing when it was killed: it is left out.
    """
    events: list[Line] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        where = f"{name}, line {number}"
        if len(text) > MAX_LINE_CHARS:
            raise WrongJournal(f"{where}: longer than {MAX_LINE_CHARS:,} characters")
        try:
            events.append(_event(json.loads(text), where))
        except json.JSONDecodeError as error:
            if not text.endswith("\n"):
                break
            raise WrongJournal(f"{where}: no JSON: {error.msg}") from None
    if not events:
        raise WrongJournal(f"{name}: holds no events")
    return events


def _event(decoded: Any, where: str) -> Line:
    kind = decoded.get("type") if isinstance(decoded, dict) else None
    try:
        event = EVENT.validate_python(decoded) if kind in KINDS else Line.model_validate(decoded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise WrongJournal(f"{where}: {place}: {first['msg']}") from None
    if isinstance(event, CallStarted) and event.journal_version > VERSION:
        raise WrongJournal(f"{where}: version {event.journal_version}, and this program reads {VERSION}")
    return event
