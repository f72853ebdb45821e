"""Who has the floor, by the events of a call. No I/O."""

from __future__ import annotations

from typing import Final

from bridge.journal.events import Floor

_AGENT: Final = {
    "response.started": True,
    "response.resumed": True,
    "response.paused": False,
    "response.interrupted": False,
    "response.done": False,
    "call.ended": False,
}
_CALLER: Final = {"caller.started": True, "caller.stopped": False, "call.ended": False}
_FLOORS: Final[dict[tuple[bool, bool], Floor]] = {
    (False, False): "nobody",
    (True, False): "caller",
    (False, True): "agent",
    (True, True): "both",
}


class FloorKeeper:
    """Knows who has the floor of one call. The agent keeps it between the sentences of a turn."""

    def __init__(self) -> None:
        self._caller = self._agent = False

    def after(self, kind: str) -> Floor | None:
        """Takes an event; returns who has the floor now, or None if that has not changed."""
        before = self._caller, self._agent
        self._caller = _CALLER.get(kind, self._caller)
        self._agent = _AGENT.get(kind, self._agent)
        now = self._caller, self._agent
        return None if now == before else _FLOORS[now]
