"""What a speech-to-speech service says on one call: its sound on the line, its words, how much of both was heard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import structlog

from bridge.line.call import Call
from bridge.line.heard import LETTERS_PER_SECOND, heard_words, spoken_letters
from bridge.line.utterance import Utterance
from bridge.realtime.protocol import MAX_TEXT_CHARS, RATE_HZ
from engine.audio import Resampler

log = structlog.get_logger(__name__)

MAX_AHEAD_MS: Final = 300_000
"""How much sound may wait to be played. What a service makes beyond that is not taken."""
MAX_ITEMS: Final = 64
"""How many items may wait to be heard."""
FORGOTTEN: Final = 32
"""How many answers that were cut are remembered, for sound of them that comes late."""


@dataclass(slots=True, eq=False)
class SpokenItem:
    """One item of the service's, on its way to the caller."""

    id: str
    answer: str
    utterance: Utterance
    resampler: Resampler
    text: str = ""
    """The words that have come; they may be ahead of the sound, or behind it."""
    words_ended: bool = False
    written_samples: int = 0
    started_ms: int = 0
    """When its first frame left, counted from the answer of the call."""

    @property
    def heard_ms(self) -> int:
        """How much of its sound has left for the caller."""
        return self.utterance.played_ms

    def heard_text(self) -> str:
        """Returns the words that belong to the share of the sound that was played.

        While more sound may come, its length is guessed from the words.
        """
        utterance = self.utterance
        if utterance.done and not utterance.interrupted:
            return self.text.strip()
        guessed = 0.0 if utterance.ended else spoken_letters(self.text) / LETTERS_PER_SECOND * utterance.rate_hz
        return heard_words(self.text, utterance.played_samples / max(self.written_samples, guessed, 1)).strip()


@dataclass(slots=True)
class SpokenItems:
    """The items of one call that have not been heard to their end, in order."""

    call: Call
    live: list[SpokenItem] = field(default_factory=list)
    _cut_answers: deque[str] = field(default_factory=lambda: deque(maxlen=FORGOTTEN))
    _overflowed: bool = False
    """Sound was not taken, which is logged once a call."""

    @property
    def ahead_ms(self) -> int:
        """How much sound waits to be played."""
        return sum(item.utterance.buffered_ms for item in self.live)

    def sound(self, answer: str, item_id: str, pcm: bytes) -> SpokenItem | None:
        """Adds sound to an item, or begins one; returns it, or None where its answer was cut or there is no room."""
        if answer in self._cut_answers:
            return None
        item = self.find(item_id)
        if (item is None and len(self.live) == MAX_ITEMS) or self.ahead_ms > MAX_AHEAD_MS:
            if not self._overflowed:
                log.warning("the realtime service makes more sound than can wait", call=str(self.call.id))
            self._overflowed = True
            self.forget(answer)
            return None
        if item is None:
            item = self._begin(answer, item_id)
        self._write(item, item.resampler.push(np.frombuffer(pcm, np.int16)).tobytes())
        return item

    def sound_ended(self, item_id: str) -> None:
        """Notes that all of an item's sound has come."""
        item = self.find(item_id)
        if item is not None and not item.utterance.ended:
            self._write(item, item.resampler.flush().tobytes())
            item.utterance.end()

    def words(self, item_id: str, text: str) -> None:
        """Adds to the words of an item that is known."""
        if (item := self.find(item_id)) is not None:
            item.text = (item.text + text)[:MAX_TEXT_CHARS]

    def words_ended(self, item_id: str, text: str) -> SpokenItem | None:
        """Takes all the words of an item, and returns it; None where it is not known."""
        if (item := self.find(item_id)) is not None:
            item.text, item.words_ended = text, True
        return item

    def answer_ended(self, answer: str) -> None:
        """Notes that no more of an answer will come."""
        for item in self.live:
            if item.answer == answer:
                self.sound_ended(item.id)
                item.words_ended = True

    def close(self) -> None:
        """Takes no more sound: what has come is played to its end."""
        for item in self.live:
            self.forget(item.answer)
            self.sound_ended(item.id)
            item.words_ended = True

    def find(self, item_id: str) -> SpokenItem | None:
        """Returns an item that has not been heard to its end."""
        return next((item for item in self.live if item.id == item_id), None)

    def of(self, utterance: Utterance) -> SpokenItem | None:
        """Returns the item that an utterance plays."""
        return next((item for item in self.live if item.utterance is utterance), None)

    def forget(self, answer: str) -> None:
        """Takes no more sound of an answer."""
        if answer:
            self._cut_answers.append(answer)

    def take_all(self) -> list[SpokenItem]:
        """Removes and returns all items, of whose answers no more is taken. Their utterances go on playing."""
        items, self.live = self.live, []
        for item in items:
            self.forget(item.answer)
        return items

    def _begin(self, answer: str, item_id: str) -> SpokenItem:
        utterance = self.call.playout.begin()
        utterance.open(self.call.playout.rate_hz)
        item = SpokenItem(item_id, answer, utterance, Resampler(RATE_HZ, utterance.rate_hz))
        self.live.append(item)
        return item

    def _write(self, item: SpokenItem, pcm: bytes) -> None:
        item.utterance.write(pcm)
        item.written_samples += len(pcm) // 2
