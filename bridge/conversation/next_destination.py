"""Where the dialplan goes on when a call is over."""

from __future__ import annotations

from typing import Final

import structlog

from bridge.brains.brain import Fallback, HangUp, Transfer
from bridge.brains.destinations import Destinations, NotAllowed

log = structlog.get_logger(__name__)

HANG_UP: Final = "hangup"
"""What the dialplan is told of a call that is to end."""


class NextDestination:
    """What was told from outside, else what the brain wanted last, else the fallback."""

    def __init__(self, allowed: Destinations, fallback: str, call_id: str) -> None:
        self.is_settled = False
        """It was told from outside: the brain has no say in it any more."""
        self._allowed = allowed
        self._fallback = fallback
        self._call_id = call_id
        self._next: str | None = None

    def __str__(self) -> str:
        """A destination, `hangup`, or empty for the dialplan's own fallback."""
        return self._fallback if self._next is None else self._next

    def resolve(self, wanted: str) -> str:
        """Returns what may be settled on. Raises NotAllowed."""
        return wanted if wanted in (HANG_UP, "") else self._allowed.resolve(wanted)

    def settle(self, destination: str) -> None:
        """The call goes on there, whatever the brain wants; empty for the fallback."""
        self._next, self.is_settled = destination or None, True

    def follow(self, action: Transfer | HangUp | Fallback) -> None:
        """The call goes on where the brain wants, if that is allowed."""
        self._next = None
        match action:
            case Transfer(destination):
                try:
                    self._next = self._allowed.resolve(destination)
                except NotAllowed as error:
                    log.error("transfer refused", call=self._call_id, error=str(error))
            case HangUp():
                self._next = HANG_UP

    def fall_back(self) -> None:
        """A service has failed."""
        self._next = None
