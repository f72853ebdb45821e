"""Traces where the time of a turn goes, from the caller's last sound to the agent's first frame. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Mark(StrEnum):
    """What happens once in a turn."""

    SPEECH_END = "speech_end"
    END_KNOWN = "end_known"
    TRANSCRIPT = "transcript"
    FIRST_TOKEN = "first_token"
    FIRST_SENTENCE = "first_sentence"
    FIRST_AUDIO = "first_audio"
    FIRST_FRAME = "first_frame"
    ASKED = "asked"
    LAST_TOKEN = "last_token"
    LAST_AUDIO = "last_audio"
    LAST_FRAME = "last_frame"


STATIONS: Final = (
    Mark.SPEECH_END,
    Mark.END_KNOWN,
    Mark.TRANSCRIPT,
    Mark.FIRST_TOKEN,
    Mark.FIRST_SENTENCE,
    Mark.FIRST_AUDIO,
    Mark.FIRST_FRAME,
)
"""What a turn passes until the caller hears it, in order."""
WAITED_STAGES: Final = (
    ("end_of_turn", Mark.SPEECH_END, Mark.END_KNOWN),
    ("recogniser", Mark.SPEECH_END, Mark.TRANSCRIPT),
    ("model", Mark.ASKED, Mark.FIRST_TOKEN),
    ("first_sentence", Mark.FIRST_TOKEN, Mark.FIRST_SENTENCE),
    ("first_sound", Mark.FIRST_SENTENCE, Mark.FIRST_AUDIO),
    ("first_frame", Mark.FIRST_AUDIO, Mark.FIRST_FRAME),
)
"""The stages that the caller waits for: they are over when the first frame leaves."""
STAGES: Final = (
    *WAITED_STAGES,
    ("writing", Mark.FIRST_TOKEN, Mark.LAST_TOKEN),
    ("making", Mark.FIRST_AUDIO, Mark.LAST_AUDIO),
    ("playing", Mark.FIRST_FRAME, Mark.LAST_FRAME),
)
"""What takes time in a turn, each from one mark to another: the model writes on while the first sentence is spoken."""


@dataclass(slots=True)
class TurnTrace:
    """The marks of one turn. Each is set once, in seconds of the monotonic clock."""

    at_s: dict[Mark, float] = field(default_factory=dict)

    def mark(self, mark: Mark, now_s: float) -> None:
        """Notes that the turn has reached this station."""
        self.at_s.setdefault(mark, now_s)

    def end(self, now_s: float, silent_s: float) -> None:
        """Notes that the turn is over and was last heard at `silent_s`; what goes on is cancelled."""
        self.mark(Mark.LAST_TOKEN, now_s)
        self.mark(Mark.LAST_AUDIO, now_s)
        self.mark(Mark.LAST_FRAME, silent_s)

    def stages_ms(self) -> dict[str, int]:
        """Returns when each station was reached, counted from the first one that was."""
        reached = [mark for mark in STATIONS if mark in self.at_s]
        if not reached:
            return {}
        return {f"{mark}_ms": round((self.at_s[mark] - self.at_s[reached[0]]) * 1000) for mark in reached}

    def stages(self, answered_s: float) -> list[dict[str, Any]]:
        """Returns the stages that have ended, each with its beginning and its end in ms since the call was answered."""
        return [
            {"stage": stage, "start_ms": self._ms(first, answered_s), "end_ms": self._ms(last, answered_s)}
            for stage, first, last in STAGES
            if first in self.at_s and last in self.at_s
        ]

    def turn(self, number: int, answered_s: float, *, interrupted: bool) -> dict[str, Any]:
        """Returns the turn as the journal has it."""
        stages = self.stages(answered_s)
        response_ms = None
        if Mark.SPEECH_END in self.at_s and Mark.FIRST_FRAME in self.at_s:  # rounded as the stages are
            response_ms = self._ms(Mark.FIRST_FRAME, answered_s) - self._ms(Mark.SPEECH_END, answered_s)
        return {"turn": number, "interrupted": interrupted, "stages": stages, "response_ms": response_ms}

    def _ms(self, mark: Mark, answered_s: float) -> int:
        return round((self.at_s[mark] - answered_s) * 1000)

    def between_s(self, first: Mark, second: Mark) -> float | None:
        if first not in self.at_s or second not in self.at_s:
            return None
        return self.at_s[second] - self.at_s[first]
