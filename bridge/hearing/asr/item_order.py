"""Brings the final transcripts of one connection into the order in which the caller spoke. No I/O."""

from __future__ import annotations

from typing import Final

from bridge.hearing.events import Transcript

MAX_HELD: Final = 3
"""How many transcripts wait for one before them. It is lost if so many have come after it."""
MAX_ITEMS: Final = 256


class ItemOrder:
    """The stretches of speech in the order of their `committed` events; their transcripts may come in any other."""

    def __init__(self) -> None:
        self._order: list[str] = []
        """Committed items whose transcript has not been passed on, oldest first."""
        self._held: dict[str, Transcript | None] = {}
        """What has come for those that wait; None for one that failed."""

    def committed(self, item_id: str, previous_id: str) -> None:
        """Notes that a stretch of speech is over, and which one was before it."""
        if not item_id or item_id in self._order:
            return
        place = self._order.index(previous_id) + 1 if previous_id in self._order else len(self._order)
        self._order.insert(place, item_id)
        if len(self._order) > MAX_ITEMS:
            self._held.pop(self._order.pop(0), None)

    def came(self, item_id: str, transcript: Transcript | None) -> list[Transcript]:
        """Takes the transcript of an item, None if it failed; returns those whose turn has come."""
        if item_id not in self._order:
            return [transcript] if transcript is not None else []
        self._held[item_id] = transcript
        ready = []
        while self._order and (self._order[0] in self._held or len(self._held) >= MAX_HELD):
            due = self._held.pop(self._order.pop(0), None)
            if due is not None:
                ready.append(due)
        return ready
