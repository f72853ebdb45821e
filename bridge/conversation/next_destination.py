"""Decides where the dialplan goes on when a call is over."""

from __future__ import annotations

from typing import Final

import structlog

from bridge.brains.brain import Fallback, HangUp, Transfer
from bridge.brains.destinations import Destinations, NotAllowed

log = structlog.get_logger(__name__)

HANG_UP: Final = "hangup"
"""The answer that makes the dialplan end the call."""
WARM: Final = "warm"
"""What follows a destination where somebody is told of the call before it is theirs."""


class NextDestination:
    """The destination told from outside, else the one that the brain wanted last, else the fallback."""

    def __init__(self, allowed: Destinations, fallback: str, call_id: str) -> None:
        self.is_settled = False
        """True once a destination was told from outside; the brain can no longer change it."""
        self._allowed = allowed
        self._fallback = fallback
        self._call_id = call_id
        self._next: str | None = None
        self.transfer: Transfer | None = None
        """The transfer with which the call ends, for whoever is to be told of it."""
        self.decision = ""
        """What a colleague decided who was told of the call; empty if nobody was."""

    def __str__(self) -> str:
        """Returns a destination, `hangup`, or an empty text for the dialplan's own fallback."""
        return self._fallback if self._next is None else self._next

    @property
    def is_open(self) -> bool:
        """Whether nobody has said where the call goes."""
        return self._next is None and not self.is_settled

    def resolve(self, wanted: str) -> str:
        """Returns the destination that `wanted` stands for, fit for `settle`. Raises NotAllowed."""
        return wanted if wanted in (HANG_UP, "") else self._place(self._allowed.resolve(wanted))

    def _place(self, destination: str) -> str:
        """Returns how the dialplan is told of a destination on the list."""
        return f"{destination},{WARM}" if self._allowed.is_warm(destination) else destination

    def allow(self, allowed: Destinations, fallback: str) -> None:
        """Has the call go where another agent may send it, and to that agent's fallback."""
        self._allowed, self._fallback = allowed, fallback

    def settle(self, destination: str) -> None:
        """Sends the call there, whatever the brain wants; an empty text stands for the fallback."""
        self._next, self.is_settled = destination or None, True
        self.transfer = Transfer(destination.removesuffix(f",{WARM}")) if destination not in ("", HANG_UP) else None

    def follow(self, action: Transfer | HangUp | Fallback) -> None:
        """Sends the call where the brain wants, if that is allowed, else to the fallback."""
        self._next = None
        match action:
            case Transfer(destination):
                try:
                    self._next = self._place(self._allowed.resolve(destination))
                    self.transfer = action
                except NotAllowed as error:
                    log.error("transfer refused", call=self._call_id, advice="TRANSFER_ALLOW has no such destination")
                    log.debug("transfer refused", call=self._call_id, error=str(error))  # it may hold a number
            case HangUp():
                self._next = HANG_UP

    def fall_back(self) -> None:
        """Sends the call to the fallback, because a service has failed."""
        self._next = None
