"""The base of both runners. A runner makes the frames of every sentence in the batch, and their sound."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.qwen3.batch.end_guard import EndGuard, frame_budget
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.batch.slots import SlotTable
from engine.qwen3.model.narrowband import LATE
from engine.speech import Pcm


class Frames(NamedTuple):
    """The sound of the next frames of one sentence, as the codec and `narrowband` have made it: a row a frame."""

    pcm: NDArray[np.int16]
    narrow: NDArray[np.int16]
    levels: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk of one sentence's sound, in order, at the rate that it wants. The last says in `end` why it is that."""

    sentence: Sentence
    pcm: Pcm
    levels: NDArray[np.float32]
    """The RMS of each 10 ms of the frames that it is of, 1.0 for full scale."""
    end: End | None = None

    @staticmethod
    def nothing_more(sentence: Sentence, end: End | None) -> Made:
        """Returns the end of a sentence that has no sound left."""
        return Made(sentence, sentence.rest, np.zeros(0, np.float32), end)


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
    def _cut(sentence: Sentence, first: int, frames: Frames, end: End | None) -> Made:
        """Returns what goes out of a sentence with its frames from number `first` on, as a copy."""
        if not sentence.request.narrowband:
            return Made(sentence, frames.pcm.flatten(), frames.levels.flatten(), end)
        pcm = frames.narrow[:, :-LATE].flatten()[LATE if first == 0 else 0 :]
        if len(frames.narrow):
            sentence.rest = frames.narrow[-1, -LATE:].copy()
        if end is not None:
            pcm = np.concatenate((pcm, sentence.rest))
        return Made(sentence, pcm, frames.levels.flatten(), end)

    @staticmethod
    def _runs_on(sentence: Sentence, first: int, frames: Frames) -> bool:
        """Tells whether the guard wants the sentence to end. `first` is the number of the first of its frames."""
        levels = np.sqrt(np.square(frames.levels).mean(axis=1)).tolist()
        # Every frame is shown to the guard, also after one that would do.
        verdicts = [
            sentence.guard.over(sentence.codes[first + i][0], 20 * math.log10(max(level, 1e-9)))
            for i, level in enumerate(levels)
        ]
        return any(verdicts)
