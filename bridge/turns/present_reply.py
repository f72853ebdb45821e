"""What the agent is doing: the reply of now, what it answers, and since when it is heard. No I/O."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

GOES_ON_S: Final = 0.3
"""A caller who is noticed so soon after the first sound of a reply began to speak a tenth of a second before. Nobody
reacts so fast: they had not ended, and go on."""


class Activity(StrEnum):
    """What the agent is doing."""

    IDLE = "idle"
    THINKING = "thinking"
    SPEAKING = "speaking"


class PresentReply:
    """The agent's reply, from the moment in which it is asked for until it is over. The time is handed in."""

    def __init__(self) -> None:
        self.agent = Activity.IDLE
        self.interruptible = True
        self.is_prompt = False
        """True if it asks a silent caller for words, which nobody needs who has been away meanwhile."""
        self.asked = ""
        """The words that it answers."""
        self._begun_ms = 0
        """How much of the caller's audio there was when it was asked for."""
        self._heard_s = -math.inf
        """When its first sound left."""

    def begins(self, audio_ms: int | None, *, interruptible: bool, is_prompt: bool) -> None:
        """Notes that it has been asked for. With None it goes on with what the reply before it was asked for."""
        self.agent = Activity.THINKING
        self.interruptible = interruptible
        self.is_prompt = is_prompt
        if audio_ms is not None:
            self._begun_ms = audio_ms

    def sounds(self, now_s: float, *, interruptible: bool) -> None:
        """Notes that one of its utterances begins to be heard."""
        if self.agent is not Activity.SPEAKING:
            self._heard_s = now_s
        self.agent = Activity.SPEAKING
        self.interruptible = interruptible

    def over(self) -> None:
        """Notes that it has been heard to its end, or dropped."""
        self.agent = Activity.IDLE
        self.interruptible = True
        self.is_prompt = False
        self.asked = ""

    def just_begun(self, now_s: float) -> bool:
        """Tells whether a caller who is noticed now was speaking before they can have reacted to it."""
        return self.agent is Activity.SPEAKING and now_s - self._heard_s <= GOES_ON_S

    def is_about(self, audio_start_ms: int | None) -> bool:
        """Tells whether a sound of the caller's is no older than the reply that it would interrupt."""
        return self.agent is Activity.IDLE or audio_start_ms is None or audio_start_ms >= self._begun_ms
