"""The list of calls: who is announced, who is in progress, and who has ended and is still asked about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NoReturn
from uuid import UUID

import structlog

from bridge.conversation.registration import Registrations
from bridge.conversation.talk import Talk
from bridge.journal.kept_lines import KeptJournals
from bridge.line.call import Call, CallObserver
from bridge.line.connection import CallRefused

log = structlog.get_logger(__name__)

ENDED_KEPT: Final = 1_000
"""How many ended calls are kept: the dialplan asks for the state of a call within a second or so of its end."""
USED_KEPT: Final = 50_000
"""The number of ids remembered, so that none is taken twice, which would overwrite a recording."""

MAX_ENDED_CHARS: Final = 20_000_000
"""How long the transcripts of all ended calls may be together."""
MAX_ENDED_LINE_CHARS: Final = 20_000_000
"""How long the journals of all ended calls may be together; beyond it those of the oldest are forgotten first."""


class Calls(CallObserver):
    """The conversations of all calls, found by the id of the call."""

    def __init__(
        self,
        max_calls: int,
        registrations: Registrations,
        *,
        require_registration: bool = False,
        refused: Callable[[str], None] = lambda reason: None,
        is_overloaded: Callable[[int], bool] = lambda calls: False,
    ) -> None:
        """`refused` is told of each call that is not taken: full, overloaded, closing, used or unregistered.

        `is_overloaded` tells whether so many calls, of this process alone, are all that it can carry.
        """
        self.registrations = registrations
        self.open = True
        """False once the process is draining and takes no new call."""
        self.elsewhere = 0
        """The calls that other processes of this server have, or are about to have: MAX_CALLS counts them too."""
        self._max_calls = max_calls
        self._refused = refused
        self._is_overloaded = is_overloaded
        self._require_registration = require_registration
        self._active: dict[UUID, Talk] = {}
        self._ended: OrderedDict[UUID, Talk] = OrderedDict()
        self._ended_chars = 0
        self._journals = KeptJournals(MAX_ENDED_LINE_CHARS)
        self._used: OrderedDict[bytes, None] = OrderedDict()

    def admit(self, call_id: UUID) -> Mapping[str, str]:
        """Admits a call that connects and returns the variables announced for it. Raises CallRefused."""
        self.check_room(call_id)
        if call_id in self._active:
            self._refuse("used", "a call with this UUID is in progress")
        if call_id.bytes in self._used:
            self._refuse("used", "a call with this UUID has ended; every call needs one of its own")
        registration = self.registrations.claim(call_id)
        if registration is None and self._require_registration:
            reason = "REQUIRE_REGISTRATION=true and this call was not registered, or too long ago"
            self._refuse("unregistered", reason)
        return registration.variables if registration is not None else {}

    def check_room(self, call_id: UUID) -> None:
        """Raises CallRefused where this new call would not be taken now, and counts it as refused.

        Calls that were announced and are about to connect have their places already.
        """
        if not self.open:
            self._refuse("closing", "shutting down")
        announced = 0 if call_id in self.registrations else self.registrations.reserved()
        # What is elsewhere was counted when the place was given, and changes while others of a burst connect there.
        elsewhere = 0 if self.registrations.holds_place(call_id) else self.elsewhere
        if len(self._active) + announced + elsewhere >= self._max_calls:
            reason = f"MAX_CALLS={self._max_calls} calls are in progress"
            self._refuse("full", reason + (" or about to begin" if announced else ""))
        if call_id not in self.registrations and self._is_overloaded(len(self._active) + announced):
            late = f"frames are late with {len(self._active)} calls, or were lately"
            self._refuse("overloaded", f"{late}: the machine carries no more")

    def _refuse(self, kind: str, reason: str) -> NoReturn:
        self._refused(kind)
        raise CallRefused(reason)

    def add(self, conversation: Talk) -> None:
        """Keeps this conversation among those in progress until its call ends."""
        self._active[conversation.call.id] = conversation
        self._used[conversation.call.id.bytes] = None
        while len(self._used) > USED_KEPT:
            self._used.popitem(last=False)
        conversation.call.observe(self)

    def call_ended(self, call: Call) -> None:
        log.info("call ended", call=str(call.id), reason=call.end_reason)
        self._ended[call.id] = self._active.pop(call.id)
        self._ended_chars += self._ended[call.id].journal.chars
        self._journals.keep(self._ended[call.id].journal.lines)
        while len(self._ended) > ENDED_KEPT or (self._ended_chars > MAX_ENDED_CHARS and len(self._ended) > 1):
            _, oldest = self._ended.popitem(last=False)
            self._ended_chars -= oldest.journal.chars
            self._journals.drop(oldest.journal.lines)

    def active(self) -> list[Talk]:
        """Returns the conversations in progress, oldest first."""
        return list(self._active.values())

    def ended(self) -> list[Talk]:
        """Returns the conversations that ended lately and are still known, oldest first."""
        return list(self._ended.values())

    def find(self, call_id: UUID) -> Talk | None:
        """Returns a conversation that is in progress or ended lately, or None."""
        return self._active.get(call_id) or self._ended.get(call_id)

    def named(self, variables: Mapping[str, str], name: str) -> Talk | None:
        """Returns the conversation whose id this variable holds, or None."""
        try:
            return self.find(UUID(variables.get(name, "")))
        except ValueError:
            return None

    def __len__(self) -> int:
        return len(self._active)
