"""Brings the final transcripts of one connection into the order in which the caller spoke. No I/O."""

from __future__ import annotations

from typing import Final

from bridge.hearing.events import Transcript

MAX_HELD: Final = 3
"""How many transcripts wait for one before them. It is lost if so many have come after it."""
LOST_S: Final = 4.0
"""How long after the end of its speech a transcript that others wait for is lost: they may be a call's only words."""
MAX_ITEMS: Final = 256


class ItemOrder:
    """The stretches of speech in the order of their `committed` events; their transcripts may come in any other."""

    def __init__(self) -> None:
        self._committed_s: dict[str, float] = {}
        """When the speech of each item in the order was over."""
        self._order: list[str] = []
        """Committed items whose transcript has not been passed on, oldest first."""
        self._held: dict[str, Transcript | None] = {}
        """What has come for those that wait; None for one that failed."""

    def committed(self, now_s: float, item_id: str, previous_id: str) -> None:
        """Notes that a stretch of speech is over, and which one was before it."""
        if not item_id or item_id in self._order:
            return
        place = self._order.index(previous_id) + 1 if previous_id in self._order else len(self._order)
        self._order.insert(place, item_id)
        self._committed_s[item_id] = now_s
        if len(self._order) > MAX_ITEMS:
            self._first()

    def came(self, now_s: float, item_id: str, transcript: Transcript | None) -> list[Transcript]:
        """Takes the transcript of an item, None if it failed; returns those whose turn has come."""
        if item_id not in self._order:
            return [transcript] if transcript is not None else []
        self._held[item_id] = transcript
        return self.due(now_s)

    def due(self, now_s: float) -> list[Transcript]:
        """Returns the transcripts whose turn has come, or before which others are lost."""
        ready = []
        while self._held and self._is_over(self._order[0], now_s):
            first = self._first()
            if first is not None:
                ready.append(first)
        return ready

    def _is_over(self, item_id: str, now_s: float) -> bool:
        lost = len(self._held) >= MAX_HELD or now_s >= self._committed_s[item_id] + LOST_S
        return item_id in self._held or lost

    def _first(self) -> Transcript | None:
        item_id = self._order.pop(0)
        del self._committed_s[item_id]
        return self._held.pop(item_id, None)
