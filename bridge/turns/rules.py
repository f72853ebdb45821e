"""How easily the agent gives up the floor."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.turns.words import Backchannels, words


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of all the turns of a call."""

    min_interrupt_words: int = 1
    """Words that end the agent's turn; 0 lets any speech end it at once."""
    false_interruption_timeout_ms: int = 1_000
    """After the caller's sound has stopped, how long to wait for words before going on."""
    final_timeout_ms: int = 3_000
    """After speech has ended, how long its final transcript is waited for before what is known is answered."""
    echo_guard_ms: int = 0
    """How long after the agent's sound begins the caller's is held to be its echo, unless it outlasts the guard."""
    no_input_timeout_ms: int = 0
    """Silence of both after which the caller is prompted; 0 never."""
    backchannels: Backchannels = field(default_factory=Backchannels)

    def interrupts(self, text: str, *, unfinished: bool = False) -> bool:
        """Whether these words end the agent's turn. `unfinished`: more of them may be on their way."""
        enough = len(words(text)) >= max(self.min_interrupt_words, 1)
        return enough and not self.backchannels.all_of(text, unfinished=unfinished)
