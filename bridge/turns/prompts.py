"""Decides when a caller who says nothing, or nothing understood, is prompted. No I/O, the time is handed in."""

from __future__ import annotations

import math
from typing import Final

from bridge.turns.actions import Action, AskAgain, PromptCaller
from bridge.turns.rules import Rules

UNCLEAR_S: Final = 1.0
"""How long a sound has to be, the silence included that shows its end, to count as speech: a cough is shorter."""


class Prompts:
    """The prompts that are due while the agent has nothing to say."""

    def __init__(self, rules: Rules) -> None:
        self._no_input_s = rules.no_input_timeout_ms / 1000
        self._unclear_after_s = rules.unclear_timeout_ms / 1000
        self._final_timeout_s = rules.final_timeout_ms / 1000
        self.held = False
        """True while the caller has the line on hold: nothing is due."""
        self._sound_s = math.inf
        """When the caller's present sound began."""
        self._prompt_s = math.inf
        self._ask_s = math.inf

    def wait(self, now_s: float) -> None:
        """Notes that both are silent from now on."""
        self._prompt_s = now_s + self._no_input_s if self._no_input_s else math.inf

    def stop(self) -> None:
        """Notes that somebody speaks, or is about to: nothing is due."""
        self._prompt_s = self._ask_s = math.inf

    def sound_goes_on(self, now_s: float, longest_s: float) -> None:
        """Notes that the caller makes a sound. If it has no end and no words, it is silence after `longest_s`."""
        self.stop()
        self._sound_s = now_s
        self._prompt_s = now_s + max(longest_s, self._no_input_s) if self._no_input_s else math.inf

    def sound_over(self, now_s: float) -> None:
        """Notes the end of the caller's sound, whose words may still come."""
        self.wait(now_s)
        if self._unclear_after_s and now_s - self._sound_s >= UNCLEAR_S:
            self._ask_s = now_s + max(self._final_timeout_s, self._unclear_after_s)
        self._sound_s = math.inf

    def nothing_recognised(self, now_s: float) -> None:
        """Notes that there were no words in a sound that is over."""
        self.wait(now_s)
        if self._ask_s < math.inf:
            self._ask_s = min(self._ask_s, now_s + self._unclear_after_s)

    def deadline_s(self) -> float:
        """Returns when `due` has something to return; infinity for never."""
        return math.inf if self.held else min(self._prompt_s, self._ask_s)

    def due(self, now_s: float) -> list[Action]:
        """Returns the prompt that is due by now, if any."""
        if self.held:
            return []
        if self._ask_s <= now_s:
            self.stop()
            return [AskAgain()]
        if self._prompt_s <= now_s:
            self.stop()
            return [PromptCaller()]
        return []
