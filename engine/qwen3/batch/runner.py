"""The base of both runners. A runner makes the frames of every sentence in the batch, and their sound."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.qwen3.batch.end_guard import EndGuard, frame_budget
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.batch.slots import SlotTable


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk of one sentence's sound, in order. The last one says in `end` why it is the last."""

    sentence: Sentence
    pcm: NDArray[np.float32]
    end: End | None = None

    @staticmethod
    def nothing_more(sentence: Sentence, end: End | None) -> Made:
        """Returns the end of a sentence that has no sound left."""
        return Made(sentence, np.zeros(0, np.float32), end)


class Runner(ABC):
    """A batch of sentences, driven by one thread."""

    def __init__(self, slots: SlotTable[Any]) -> None:
        self._slots = slots
        self._batch: dict[int, Sentence] = {}
        """The sentences in the batch, by their slots."""

    @abstractmethod
    def admit(self, sentence: Sentence) -> bool:
        """Takes in a sentence that has been built. Returns False where there is no place for it now."""

    @abstractmethod
    def step(self) -> Iterable[Made]:
        """Makes the next frame of each sentence, and the sound that is due. Sentences that end leave the batch."""

    def remove(self, sentence: Sentence) -> None:
        """Lets go of a sentence at once. Does nothing if it is not in the batch."""
        if self.holds(sentence):
            del self._batch[sentence.slot]
            self._slots.release(sentence.slot)

    def holds(self, sentence: Sentence) -> bool:
        """Whether the sentence is in the batch, and not another in the slot that it had."""
        return self._batch.get(sentence.slot) is sentence

    @property
    def active(self) -> int:
        """Sentences in the batch."""
        return len(self._batch)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What `/health` shows of the runner."""
        return {}

    def _enter(self, sentence: Sentence, slot: int) -> None:
        """Gives a sentence its slot, its budget of frames and its end guard."""
        prompt = sentence.prompt
        sentence.slot = slot
        sentence.budget = frame_budget(sentence.text_tokens, self._slots.max_positions - len(prompt.embeds))
        sentence.guard = EndGuard(len(prompt.text))
        self._batch[slot] = sentence

    @staticmethod
    def _runs_on(sentence: Sentence, first: int, levels: Sequence[float]) -> bool:
        """Tells whether the guard wants the sentence to end. levels: the RMS of its frames from number `first` on."""
        # Every frame is shown to the guard, also after one that would do.
        verdicts = [
            sentence.guard.over(sentence.codes[first + i][0], 20 * math.log10(max(level, 1e-9)))
            for i, level in enumerate(levels)
        ]
        return any(verdicts)
