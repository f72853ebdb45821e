"""Whether the agent's reply is paused, by the caller's sound or because the caller has put it on hold. No I/O."""

from __future__ import annotations

import math

from bridge.turns.actions import Action, Pause, Resume


class Pausing:
    """One reply at a time. The time is handed in."""

    def __init__(self) -> None:
        self.paused = False
        self.held = False
        """True while the caller has the line on hold: nothing is said into it."""
        self._resume_s = math.inf
        """When a pause is over, if nothing ends it sooner."""

    def pause(self, until_s: float = math.inf) -> list[Action]:
        """Pauses the reply, until `until_s` at most; does so anew if it is paused already."""
        self._resume_s = until_s
        if self.paused:
            return []
        self.paused = True
        return [Pause()]

    def lasts_until(self, until_s: float) -> None:
        """Changes when a pause is over."""
        if self.paused:
            self._resume_s = until_s

    def resume(self) -> list[Action]:
        """Goes on, unless the line is on hold."""
        self._resume_s = math.inf
        if not self.paused or self.held:
            return []
        self.paused = False
        return [Resume()]

    def over(self) -> None:
        """Notes that there is no reply any more."""
        self.paused = False
        self._resume_s = math.inf

    def deadline_s(self) -> float:
        """Returns when `resume` is due; infinity for never."""
        return self._resume_s
