"""An engine that makes the same sound of the same text, so that what was cut off can be gone on with."""

from __future__ import annotations

from tests.simulation.voice import SimulatedEngine, Word


class RepeatableEngine(SimulatedEngine):
    """Each word has one level, in whatever sentence it is and however often."""

    def _word(self, text: str) -> Word:
        if (word := next((each for each in self.words.values() if each.text == text), None)) is not None:
            return word
        self._next_level = max(self.words, default=self._next_level) + 1
        return super()._word(text)
