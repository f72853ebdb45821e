"""The calls that are being placed: whom, with which variables, until they connect or Asterisk has given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import UUID

from bridge.outbound.call_file import CallFile
from bridge.outbound.numbers import Numbers
from bridge.outbound.settings import OutboundSettings

MAX_PLACED: Final = 1_000
"""How many calls may be on their way at once."""
GRACE_S: Final = 60.0
"""How long after Asterisk's last try a call may still connect: who answers may hear something else first."""


class TooManyPlaced(Exception):
    """Too many calls are on their way."""


class Why(StrEnum):
    """Why a call did not reach the agent."""

    NOT_ANSWERED = "not_answered"
    NOT_DIALLED = "not_dialled"
    """Asterisk has not finished with the file in the time that it should have taken."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A call that did not reach the agent."""

    call_id: UUID
    variables: Mapping[str, str]
    why: Why


@dataclass(slots=True)
class _Placed:
    variables: Mapping[str, str]
    until_s: float
    file_name: str
    connected: bool = False
    """Whether the dialplan has announced it."""
    taken_s: float | None = None
    """When its file was first seen to be gone: then Asterisk has been answered, or has given up."""


class OutboundCalls:
    """Places calls, and keeps what is known of each until it connects."""

    def __init__(self, settings: OutboundSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._numbers = Numbers(settings.outbound_allow)
        self._now_s = now_s
        self._placed: dict[UUID, _Placed] = {}

    @property
    def spool(self) -> Path | None:
        """Asterisk's folder; None where no calls are placed."""
        return self._settings.outbound_spool

    def prepare(
        self, call_id: UUID, to: str, *, ring_s: int = 30, retries: int = 0, retry_after_s: int = 300
    ) -> CallFile:
        """Returns the file of a call to this number. Raises NumberNotAllowed and TooManyPlaced."""
        self._numbers.check(to)
        self._expire()
        if len(self._placed) >= MAX_PLACED:
            raise TooManyPlaced
        settings = self._settings
        return CallFile(
            call_id,
            settings.outbound_channel.replace("{to}", to),
            settings.outbound_destination,
            settings.outbound_caller_id,
            ring_s,
            retries,
            retry_after_s,
        )

    def placed(self, file: CallFile, variables: Mapping[str, str]) -> None:
        """Notes that Asterisk has been given the file."""
        self._placed[file.call_id] = _Placed(dict(variables), self._now_s() + file.lasts_s + GRACE_S, file.name)

    def variables(self, call_id: UUID) -> Mapping[str, str]:
        """Returns what was given with the call that now connects; nothing for a call that others have placed.

        It is kept until its time is over: with retries, the dialplan may announce the call more than once.
        """
        self._expire()
        placed = self._placed.get(call_id)
        if placed is None:
            return {}
        placed.connected = True
        return placed.variables

    @property
    def any_awaited(self) -> bool:
        """Tells whether there are calls that have not connected."""
        return any(not placed.connected for placed in self._placed.values())

    def unanswered(self, in_spool: Collection[str]) -> list[Unanswered]:
        """Returns the calls that will not connect any more, and forgets them. `in_spool` are the folder's files."""
        now_s, lost = self._now_s(), []
        for call_id, placed in list(self._placed.items()):
            if placed.connected:
                continue
            if placed.file_name in in_spool:
                why = Why.NOT_DIALLED if placed.until_s <= now_s else None
            else:
                placed.taken_s = now_s if placed.taken_s is None else placed.taken_s
                why = Why.NOT_ANSWERED if placed.taken_s + GRACE_S <= now_s else None
            if why is not None:
                del self._placed[call_id]
                lost.append(Unanswered(call_id, placed.variables, why))
        return lost

    def forget(self, call_id: UUID) -> None:
        """Forgets a call that could not be placed."""
        self._placed.pop(call_id, None)

    def __len__(self) -> int:
        self._expire()
        return len(self._placed)

    def _expire(self) -> None:
        """Forgets those whose time is over. Of a call that has not connected, `unanswered` tells first."""
        now_s = self._now_s()
        for call_id, placed in list(self._placed.items()):
            if placed.until_s + (0 if placed.connected else GRACE_S) <= now_s:
                del self._placed[call_id]
