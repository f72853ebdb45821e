"""Traces where the time of a turn goes, from the caller's last sound to the agent's first frame. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Mark(StrEnum):
    """The stations of a turn, in order."""

    SPEECH_END = "speech_end"
    TRANSCRIPT = "transcript"
    FIRST_TOKEN = "first_token"
    FIRST_SENTENCE = "first_sentence"
    FIRST_AUDIO = "first_audio"
    FIRST_FRAME = "first_frame"


@dataclass(slots=True)
class TurnTrace:
    """The marks of one turn. Each is set once, in seconds of the monotonic clock."""

    at_s: dict[Mark, float] = field(default_factory=dict)

    def mark(self, mark: Mark, now_s: float) -> None:
        """Notes that the turn has reached this station."""
        self.at_s.setdefault(mark, now_s)

    def stages_ms(self) -> dict[str, int]:
        """Returns when each station was reached, counted from the first one that was."""
        reached = [mark for mark in Mark if mark in self.at_s]
        if not reached:
            return {}
        return {f"{mark}_ms": round((self.at_s[mark] - self.at_s[reached[0]]) * 1000) for mark in reached}

    def between_s(self, first: Mark, second: Mark) -> float | None:
        if first not in self.at_s or second not in self.at_s:
            return None
        return self.at_s[second] - self.at_s[first]
