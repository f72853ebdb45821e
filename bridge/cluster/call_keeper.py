"""Lets the other bridges know each call as it is: when it begins, after each turn, and when it is over.

Nothing here is on the way of a frame: a turn only notes that its call is to be written, and one task writes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final
from uuid import UUID

import structlog

from bridge.cluster.next_place import next_place
from bridge.cluster.shared_calls import NotReached, Record, SharedCalls
from bridge.conversation.memory import Memory
from bridge.conversation.talk import Talk
from bridge.line.call import State

log = structlog.get_logger(__name__)

WORTH_WRITING: Final = frozenset({"transcript.user", "transcript.agent", "caller.changed", "call.handed_over"})
"""The events after which another bridge would go on otherwise."""
GATHER_S: Final = 0.05
"""How long changes are gathered. A turn's words are in the journal a moment before its brain has them."""
AT_ONCE: Final = 10
"""How many calls are written with one command, so that making it does not hold the event loop."""
AGAIN_S: Final = 1.0
"""How long to wait after Redis has not answered."""
MAX_CHARS: Final = 60_000
"""How much of what was said is kept for another bridge, the latest of it: an hour of speech."""


class CallKeeper:
    """Writes the calls of this process. `run` is a task that lasts as long as the server."""

    def __init__(self, shared: SharedCalls, *, keeps_words: bool = True) -> None:
        """Without `keeps_words` the others know where a call is and where it goes, and cannot go on with it."""
        self._shared, self._keeps_words = shared, keeps_words
        self._due: dict[UUID, Talk] = {}
        self._is_due = asyncio.Event()

    def keep(self, talk: Talk) -> None:
        """Writes this call now and after each turn, until it is over."""
        talk.journal.observers.append(partial(self._told, talk))
        self._note(talk)

    async def run(self) -> None:
        """Writes what is due, as soon as Redis takes it."""
        while True:
            await self._is_due.wait()
            await asyncio.sleep(GATHER_S)
            try:
                await self.flush()
            except NotReached:
                await asyncio.sleep(AGAIN_S)
            except Exception:  # one call that cannot be written must not keep the others from it
                log.exception("calls could not be written for the other bridges")

    async def flush(self) -> None:
        """Writes all that is due. Raises NotReached, and then keeps what was not written."""
        while talks := list(islice(self._due.values(), AT_ONCE)):
            for talk in talks:
                del self._due[talk.call.id]
            try:
                await self._shared.write([self._record(talk) for talk in talks])
            except NotReached:
                self._due = {talk.call.id: talk for talk in talks} | self._due
                raise
        self._is_due.clear()

    async def close(self) -> None:
        """Writes what is still due, if Redis takes it."""
        with suppress(NotReached):
            await self.flush()

    def _told(self, talk: Talk, event: dict[str, Any]) -> None:
        if event["type"] in WORTH_WRITING or event["type"] == "call.ended":
            self._note(talk)

    def _record(self, talk: Talk) -> Record:
        memory = _short(talk.memory()) if self._keeps_words else None
        return Record(talk.call.id, talk.call.state is State.ENDED, next_place(talk), memory)

    def _note(self, talk: Talk) -> None:
        self._due[talk.call.id] = talk
        self._is_due.set()


def _short(memory: Memory) -> Memory:
    """Returns what another bridge needs of a memory: the words once, and the latest of them."""
    if "messages" in memory.brain:
        messages = _latest(memory.brain["messages"], "content")
        while messages and messages[0]["role"] == "tool":  # its call was left out
            messages = messages[1:]
        return replace(memory, brain={**memory.brain, "messages": messages}, transcript=[])
    return replace(memory, transcript=_latest(memory.transcript, "text"))


def _latest(entries: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    chars = 0
    for place in range(len(entries) - 1, -1, -1):
        chars += len(entries[place].get(text) or "")
        if chars > MAX_CHARS:
            return entries[place + 1 :]
    return entries
