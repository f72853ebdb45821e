"""The calls that are being placed: whom, with which variables, until they connect or Asterisk has given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from bridge.outbound.call_file import CallFile
from bridge.outbound.numbers import Numbers
from bridge.outbound.settings import OutboundSettings

MAX_PLACED: Final = 1_000
"""How many calls may be on their way at once."""
GRACE_S: Final = 60.0
"""How long after Asterisk's last try a call may still connect."""


class TooManyPlaced(Exception):
    """Too many calls are on their way."""


@dataclass(frozen=True, slots=True)
class _Placed:
    variables: Mapping[str, str]
    until_s: float


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
        self._placed[file.call_id] = _Placed(dict(variables), self._now_s() + file.lasts_s + GRACE_S)

    def variables(self, call_id: UUID) -> Mapping[str, str]:
        """Returns what was given with the call that now connects; nothing for a call that others have placed.

        It is kept until its time is over: with retries, the dialplan may announce the call more than once.
        """
        self._expire()
        placed = self._placed.get(call_id)
        return placed.variables if placed is not None else {}

    def forget(self, call_id: UUID) -> None:
        """Forgets a call that could not be placed."""
        self._placed.pop(call_id, None)

    def _expire(self) -> None:
        now_s = self._now_s()
        for call_id in [call_id for call_id, placed in self._placed.items() if placed.until_s <= now_s]:
            del self._placed[call_id]
