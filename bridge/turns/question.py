"""What the caller has said that has not been answered, and how long the rest of it is waited for. No I/O."""

from __future__ import annotations

import math
from typing import Final

from bridge.turns.actions import Action, Answer
from bridge.turns.early import EarlyAnswer
from bridge.turns.kept_words import KeptWords
from bridge.turns.overdue import OverdueWords
from bridge.turns.patience import SPEECH_LIMIT_S, STILL_S, Patience
from bridge.turns.rules import Rules

NEAR_END_S: Final = 1.0
"""What a listener says so shortly before the end of a reply answers it: they knew how it would end."""


class Question:
    """The words of one turn of the caller's, from the first of them to the `Answer`."""

    def __init__(self, rules: Rules, patience: Patience) -> None:
        self._final_timeout_s = rules.final_timeout_ms / 1000
        self._patience = patience
        self.words = ""
        """The words so far of what the caller is saying now."""
        self.kept = KeptWords()
        """What was said before, while the agent could not be interrupted."""
        self.overdue = OverdueWords()
        self.awaited = False
        """True if a reply was dropped before all the words that dropped it were known."""
        self.due_s = math.inf
        """When what is known of the words is answered, if no final transcript comes."""
        self.quiet = True
        """True while the caller makes no sound, were it only for a moment."""
        self._noise = ""
        """What the caller has said last into a reply without interrupting it, such as "mm-hm"."""
        self._noise_s = -math.inf
        self._early = EarlyAnswer(enabled=rules.early_answers)

    def __bool__(self) -> bool:
        return bool(self.words or self.kept or self.awaited)

    def maybe_over(self) -> list[Action]:
        """Notes that the caller makes no sound and may be done; an answer may be begun."""
        self.quiet = True
        return self._early.maybe_over(self.kept.before(self.words)) if self.words else []

    def await_final(self, now_s: float, *, speaking: bool) -> None:
        """Waits for the final transcript of the caller's present words, as long as that may take."""
        if not speaking:
            self.due_s = now_s + self._final_timeout_s
        else:
            self.due_s = now_s + (self._patience.limit_s(STILL_S) if self.words else SPEECH_LIMIT_S)

    def grows(self, now_s: float, *, is_new: bool, speaking: bool) -> list[Action]:
        """Notes that the words so far of a caller to whom the agent listens have come, and whether there are more."""
        if is_new or self.due_s == math.inf:
            self.await_final(now_s, speaking=speaking)
        else:  # the recogniser has looked again, and heard no more
            self.due_s = min(self.due_s, max(self._patience.still_s(), now_s))
        said = self.kept.before(self.words)
        return self._early.maybe_over(said) if self.quiet else self._early.goes_on(said)

    def answer(self, text: str) -> tuple[str, list[Action]]:
        """Takes the last words; returns all that the caller has said, and the actions that have it answered."""
        said = self.kept.before(text)
        before, prepared = self._early.take(said)
        self.forget()
        return said, [*before, Answer(said, prepared)]

    def noise(self, now_s: float, text: str) -> None:
        """Notes what was said into a reply that goes on."""
        self._noise, self._noise_s = text, now_s

    def reply_over(self, now_s: float, *, cut: bool) -> None:
        """Notes that a reply is over. Where it was not cut, what was said shortly before its end is to be answered."""
        if not cut and now_s - self._noise_s <= NEAR_END_S:
            self.kept.add(self._noise)
        self._noise_s = -math.inf

    def forget(self) -> None:
        """Forgets the words: they are being answered."""
        self.kept.clear()
        self.words = ""
        self._noise_s = -math.inf
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Waits for no words any more."""
        self.awaited = False
        self.due_s = math.inf

    def drop_early(self) -> list[Action]:
        """Drops the answer that was begun early, if there is one."""
        return self._early.drop()
