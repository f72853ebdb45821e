"""The rules that say how easily the agent lets itself be interrupted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bridge.turns.words import NUDGES, Backchannels, words

_NUDGES: Final = Backchannels(NUDGES)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for all turns of a call."""

    min_interrupt_words: int = 1
    """How many words end the agent's turn; with 0 any speech ends it at once."""
    false_interruption_timeout_ms: int = 1_000
    """How long to wait for words after the caller's sound has stopped, before the agent goes on."""
    final_timeout_ms: int = 3_000
    """How long to wait for the final transcript after speech has ended, before the words so far are answered."""
    echo_guard_ms: int = 0
    """How long after the agent begins a sound of the caller is taken for its echo, unless it lasts longer."""
    no_input_timeout_ms: int = 0
    """How long both may be silent before the caller is prompted; 0 for never."""
    unclear_timeout_ms: int = 0
    """How long after speech without a word the caller is asked to say it again; 0 for never."""
    early_answers: bool = False
    """Whether an answer is begun, and held, as soon as the caller may be done."""
    backchannels: Backchannels = field(default_factory=Backchannels)

    def interrupts(self, text: str, *, unfinished: bool = False) -> bool:
        """Tells whether these words end the agent's turn. `unfinished` means that more words may follow."""
        enough = len(words(text)) >= max(self.min_interrupt_words, 1)
        return enough and not self.backchannels.all_of(text, unfinished=unfinished)

    def nudges(self, text: str) -> bool:
        """Tells whether `text` only asks if anybody is there."""
        return _NUDGES.all_of(text)

    def adds_nothing(self, text: str, asked: str) -> bool:
        """Tells whether `text` leaves the question as it is: a nudge, or a listener's noise after real words."""
        if self.nudges(text):
            return True
        return self.backchannels.all_of(text) and not self.backchannels.all_of(asked)
