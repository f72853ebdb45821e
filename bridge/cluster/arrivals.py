"""A call that comes to another bridge than the one to which it was announced, or that goes on where one left off."""

from __future__ import annotations

from collections.abc import Awaitable
from uuid import UUID

import structlog

from bridge.cluster.shared_calls import NotReached, SharedCalls
from bridge.conversation.calls import Calls
from bridge.conversation.memory import CONTINUES, Memory
from bridge.conversation.registration import TooManyRegistrations

log = structlog.get_logger(__name__)


class Arrivals:
    """Fetches what this bridge does not know of a call that connects."""

    def __init__(self, shared: SharedCalls, calls: Calls) -> None:
        self._shared, self._calls = shared, calls
        self._memories: dict[UUID, Memory] = {}

    def prepare(self, call_id: UUID) -> Awaitable[None] | None:
        """Returns what is to be waited for before the call is taken; None where all is known here."""
        known = self._calls.registrations.variables(call_id)
        if known is not None and (CONTINUES not in known or self._calls.named(known, CONTINUES) is not None):
            return None
        return self._fetch(call_id)

    def memory(self, call_id: UUID) -> Memory | None:
        """Returns what was fetched of the call that this one continues, once."""
        return self._memories.pop(call_id, None)

    async def _fetch(self, call_id: UUID) -> None:
        registrations = self._calls.registrations
        try:
            if call_id not in registrations and (found := await self._shared.claim(call_id)) is not None:
                registrations.add(call_id, found)
            known = registrations.variables(call_id) or {}
            if CONTINUES in known and self._calls.named(known, CONTINUES) is None:
                memory = await self._shared.memory(UUID(known[CONTINUES]))
                if memory is not None:
                    self._memories[call_id] = memory
        except (NotReached, TooManyRegistrations, ValueError) as error:
            log.error("what was announced of the call is not known here", call=str(call_id), error=str(error))
