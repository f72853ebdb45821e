"""The calls of this process: admission, look-up, and what is remembered of those that ended."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from bridge.line.call import Call, State, Wire

ENDED_KEPT: Final = 1_000
"""Ended calls whose state can still be asked for: the dialplan asks after the call, within a second or so."""


class CallRefused(Exception):
    """The call is not taken; says why."""


class Calls:
    """Every call by its id. `create` makes a call for an admitted connection."""

    def __init__(self, create: Callable[[UUID, Wire], Call], max_calls: int) -> None:
        self._create = create
        self._max_calls = max_calls
        self._active: dict[UUID, Call] = {}
        self._ended: OrderedDict[UUID, Call] = OrderedDict()
        self.open = True
        """False once the process is draining: nobody new is taken."""

    def admit(self, call_id: UUID, wire: Wire) -> Call:
        """A new call, from now on active. Raises Refused."""
        if reason := self.refusal():
            raise CallRefused(reason)
        if call_id in self._active:
            raise CallRefused("a call with this UUID is in progress")
        call = self._create(call_id, wire)
        self._active[call_id] = call
        return call

    def refusal(self) -> str:
        """Why nobody is taken at the moment; empty if somebody would be."""
        if not self.open:
            return "shutting down"
        if len(self._active) >= self._max_calls:
            return f"MAX_CALLS={self._max_calls} calls are in progress"
        return ""

    def remove(self, call: Call) -> None:
        """The call's connection is gone."""
        if self._active.pop(call.id, None) is None:
            return
        self._ended[call.id] = call
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def active(self) -> list[Call]:
        """The calls in progress, oldest first."""
        return list(self._active.values())

    def find(self, call_id: UUID) -> Call | None:
        """A call in progress, or one that ended lately."""
        return self._active.get(call_id) or self._ended.get(call_id)

    def __len__(self) -> int:
        return len(self._active)

    def hang_up_all(self) -> None:
        """Take nobody new; let the others finish what they are saying."""
        self.open = False
        for call in self.active():
            if call.state is State.ACTIVE:
                call.hang_up()
