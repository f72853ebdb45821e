"""Finished audio, kept so that the same words in the same voice are made once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from engine.encode import FormatName
from engine.speech import Style
from engine.word_times import WordTime


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything on which the bytes of a clip depend."""

    engine: str
    model_id: str
    text: str
    normalize: bool
    style: Style
    """The style, with a voice's id in place of an alias and the same `priority` for all."""
    format: FormatName
    sample_rate_hz: int
    timestamps: bool = False
    """Whether the times of the words are kept with it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One finished reply, encoded."""

    data: bytes
    duration_s: float
    words: tuple[WordTime, ...] = ()


class AudioCache:
    """Keeps the clips used last: at most `max_entries` and `max_bytes` together. Either at 0 turns the cache off."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.hits = 0
        self._clips: OrderedDict[CacheKey, Clip] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, key: CacheKey) -> Clip | None:
        """Returns the clip, which is now the one used last; None where it is not kept."""
        clip = self._clips.get(key)
        if clip is not None:
            self._clips.move_to_end(key)
            self.hits += 1
        return clip

    def fits(self, size_bytes: int) -> bool:
        """Tells whether a clip of this size would be kept at all."""
        return self.max_entries > 0 and size_bytes <= self.max_bytes

    def put(self, key: CacheKey, clip: Clip) -> None:
        """Keeps a clip; those used longest ago make room for it."""
        if not self.fits(len(clip.data)):
            return
        replaced = self._clips.pop(key, None)
        self.size_bytes += len(clip.data) - (len(replaced.data) if replaced is not None else 0)
        self._clips[key] = clip
        while len(self._clips) > self.max_entries or self.size_bytes > self.max_bytes:
            _, oldest = self._clips.popitem(last=False)
            self.size_bytes -= len(oldest.data)

    def clear(self) -> int:
        """Forgets every clip and returns how many there were."""
        count = len(self._clips)
        self._clips.clear()
        self.size_bytes = 0
        return count
