"""Forgets the calls that were announced here and have connected to another bridge: they need no place here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from bridge.cluster.shared_calls import NotReached, SharedCalls
from bridge.conversation.calls import Calls

LOOK_EVERY_S: Final = 0.5
"""How often it is looked. An announced call holds a place for some seconds, and mostly connects within one."""


class Announcements:
    """`run` is a task that lasts as long as the server."""

    def __init__(self, shared: SharedCalls, calls: Calls) -> None:
        self._shared, self._calls = shared, calls

    async def run(self) -> None:
        """Looks again and again, as long as Redis answers."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with suppress(NotReached):
                await self.look()

    async def look(self) -> None:
        """Forgets those that hold a place here and that another bridge has. Raises NotReached.

        One of which Redis knows nothing stays: it has not connected yet, or Redis was started anew.
        """
        registrations = self._calls.registrations
        if waiting := registrations.holding_places():
            for call_id in await self._shared.elsewhere(waiting):
                registrations.claim(call_id)
