"""How the telephones and queues are to which a call may be sent, as the dialplan has told at its start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bridge.brains.destinations import Destinations

LINE_STATES: Final = "line_states"
"""The variable in which the dialplan tells it, as `201@from-internal=BUSY,400@ext-queues=NO_AGENTS`."""
WORDS: Final[Mapping[str, str]] = {
    "NOT_INUSE": "free",
    "INUSE": "in a call",
    "RINGING": "being called",
    "RINGINUSE": "in a call",
    "ONHOLD": "in a call",
    "HOLDINUSE": "in a call",
    "ALL_BUSY": "all are in calls, and the caller has to wait",
    "BUSY": "busy",
    "DND": "does not want to be disturbed",
    "UNAVAILABLE": "not reachable",
    "NO_AGENTS": "nobody is logged in",
}
"""What a language model is told of each state; the dialplan's other words say nothing."""
NOBODY: Final = "NO_AGENTS"
"""The state in which nobody takes a call; a telephone that is busy or unplugged may have voicemail or follow-me."""
FRESH_S: Final = 120.0
"""How long a call is refused because of that state: later it may be another one."""


class LineStates:
    """The states of one call, by `extension@context`."""

    def __init__(
        self, variables: Mapping[str, str] = MappingProxyType({}), now_s: Callable[[], float] = time.monotonic
    ) -> None:
        entries = (entry.rpartition("=") for entry in variables.get(LINE_STATES, "").split(","))
        self._states = {place.strip(): state.strip() for place, _, state in entries if state.strip() in WORDS}
        self._now_s = now_s
        self._told_s = now_s()

    def why_not(self, destination: str) -> str:
        """Returns why nobody at `context,extension,priority` would take a call now; empty if somebody may."""
        is_empty = self._states.get(place_of(destination)) == NOBODY
        return WORDS[NOBODY] if is_empty and self._now_s() - self._told_s < FRESH_S else ""

    def describe(self, destinations: Destinations) -> str:
        """Returns how the named destinations are, for a language model; empty where nothing is known."""
        known = [
            f"{name}: {WORDS[state]}"
            for name, destination in sorted(destinations.names.items())
            if (state := self._states.get(place_of(destination))) is not None
        ]
        return f" When the call began: {'; '.join(known)}." if known else ""


def place_of(destination: str) -> str:
    """Returns `extension@context` of `context,extension,priority`."""
    context, extension, _ = destination.split(",")
    return f"{extension}@{context}"
