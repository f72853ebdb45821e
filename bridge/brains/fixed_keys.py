"""The keys of FIXED_KEYS: each does one thing at once, and neither a language model nor a script is asked."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.brains.brain import AfterTurn, Fallback, HandOver, HangUp, Piece, Say, Transfer, fill
from bridge.brains.destinations import Destinations, NotAllowed

_ENTRY: Final = re.compile(r"([0-9A-D*#])\s*=([^|]+)(?:\|(.*))?", re.DOTALL)
AGENT: Final = "agent:"
WAYS: Final[Mapping[str, AfterTurn]] = {"hangup": HangUp(), "fallback": Fallback()}
"""What a key may do that needs no destination."""


@dataclass(frozen=True, slots=True)
class FixedKey:
    """What one key does."""

    digit: str
    action: AfterTurn
    words: str
    """What the caller hears to its end before that, with variables; empty for nothing."""

    async def pieces(self, variables: Mapping[str, str]) -> AsyncGenerator[Piece]:
        """Yields the words, which nothing but another key interrupts, and the action."""
        if words := fill(self.words, variables).strip():
            yield Say(words, interruptible=False)
        yield self.action


class FixedKeys:
    """The keys by their digits, written as `0=operator|One moment, please.; 9=hangup; 5=agent:shop`."""

    def __init__(self, text: str, destinations: Destinations | None = None) -> None:
        """Reads the list. Raises ValueError, also for a place that `destinations` does not allow."""
        self._keys: dict[str, FixedKey] = {}
        for entry in filter(None, (part.strip() for part in text.split(";"))):
            match = _ENTRY.fullmatch(entry)
            if match is None:
                raise ValueError(f"{entry!r} is not KEY=PLACE or KEY=PLACE|words")
            digit, place, words = match[1], match[2].strip(), (match[3] or "").strip()
            if digit in self._keys:
                raise ValueError(f"the key {digit} stands there twice")
            self._keys[digit] = FixedKey(digit, _action(place, destinations), words)

    def get(self, digit: str) -> FixedKey | None:
        """Returns what a key does, or None for a key that the agent is asked about."""
        return self._keys.get(digit)

    @property
    def agents(self) -> list[str]:
        """The agents that keys hand the call over to."""
        return [key.action.agent for key in self._keys.values() if isinstance(key.action, HandOver)]


def _action(place: str, destinations: Destinations | None) -> AfterTurn:
    if place in WAYS:
        return WAYS[place]
    if place.startswith(AGENT):
        return HandOver(place.removeprefix(AGENT).strip(), "the caller pressed a key for you")
    if destinations is not None:
        try:
            destinations.resolve(place)
        except NotAllowed as error:
            raise ValueError(str(error)) from None
    return Transfer(place)
