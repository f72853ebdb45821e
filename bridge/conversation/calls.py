"""The book of calls: who is announced, who is in progress, and who has ended and is still asked about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog

from bridge.conversation.registration import Registrations
from bridge.conversation.talk import Talk
from bridge.line.call import Call, CallObserver
from bridge.line.server import CallRefused

log = structlog.get_logger(__name__)

ENDED_KEPT: Final = 1_000
"""How many ended calls are kept: the dialplan asks for the state of a call within a second or so of its end."""
USED_KEPT: Final = 50_000
"""The number of ids remembered, so that none is taken twice, which would overwrite a recording."""

MAX_ENDED_CHARS: Final = 20_000_000
"""How long the transcripts of all ended calls may be together."""


class Calls(CallObserver):
    """The conversations of all calls, found by the id of the call."""

    def __init__(self, max_calls: int, registrations: Registrations, *, require_registration: bool = False) -> None:
        self.registrations = registrations
        self.open = True
        """False once the process is draining and takes no new call."""
        self._max_calls = max_calls
        self._require_registration = require_registration
        self._active: dict[UUID, Talk] = {}
        self._ended: OrderedDict[UUID, Talk] = OrderedDict()
        self._ended_chars = 0
        self._used: OrderedDict[bytes, None] = OrderedDict()

    def admit(self, call_id: UUID) -> Mapping[str, str]:
        """Admits a call that connects and returns the variables announced for it. Raises CallRefused."""
        if reason := self.refusal(call_id):
            raise CallRefused(reason)
        if call_id in self._active:
            raise CallRefused("a call with this UUID is in progress")
        if call_id.bytes in self._used:
            raise CallRefused("a call with this UUID has ended; every call needs one of its own")
        registration = self.registrations.claim(call_id)
        if registration is None and self._require_registration:
            raise CallRefused("REQUIRE_REGISTRATION=true and this call was not registered, or too long ago")
        return registration.variables if registration is not None else {}

    def refusal(self, call_id: UUID) -> str:
        """Returns why this new call would be refused now, or an empty text if it would be taken.

        Calls that were announced and are about to connect have their places already.
        """
        if not self.open:
            return "shutting down"
        announced = 0 if call_id in self.registrations else self.registrations.reserved()
        if len(self._active) + announced >= self._max_calls:
            return f"MAX_CALLS={self._max_calls} calls are in progress" + (" or about to begin" if announced else "")
        return ""

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
        while len(self._ended) > ENDED_KEPT or (self._ended_chars > MAX_ENDED_CHARS and len(self._ended) > 1):
            _, oldest = self._ended.popitem(last=False)
            self._ended_chars -= oldest.journal.chars

    def active(self) -> list[Talk]:
        """Returns the conversations in progress, oldest first."""
        return list(self._active.values())

    def find(self, call_id: UUID) -> Talk | None:
        """Returns a conversation that is in progress or ended lately, or None."""
        return self._active.get(call_id) or self._ended.get(call_id)

    def __len__(self) -> int:
        return len(self._active)
