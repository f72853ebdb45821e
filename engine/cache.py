"""Finished audio, kept so that the same words in the same voice are made once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from engine.encode import FormatName
from engine.speech import Style


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything that shapes the bytes."""

    engine: str
    model_id: str
    text: str
    normalize: bool
    style: Style
    """Its `voice` an id, not an alias; its `priority` the same for all."""
    format: FormatName
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Clip:
    """One finished reply, encoded."""

    data: bytes
    duration_s: float


class AudioCache:
    """The clips used last: at most `max_entries`, together at most `max_bytes`. Either at 0 turns it off."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.hits = 0
        self._clips: OrderedDict[CacheKey, Clip] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, key: CacheKey) -> Clip | None:
        """The clip, now the one used last; None if it is not here."""
        clip = self._clips.get(key)
        if clip is not None:
            self._clips.move_to_end(key)
            self.hits += 1
        return clip

    def fits(self, size_bytes: int) -> bool:
        """Whether a clip of this size would be kept at all."""
        return self.max_entries > 0 and size_bytes <= self.max_bytes

    def put(self, key: CacheKey, clip: Clip) -> None:
        """Keep a clip; those used longest ago make room."""
        if not self.fits(len(clip.data)):
            return
        replaced = self._clips.pop(key, None)
        self.size_bytes += len(clip.data) - (len(replaced.data) if replaced is not None else 0)
        self._clips[key] = clip
        while len(self._clips) > self.max_entries or self.size_bytes > self.max_bytes:
            _, oldest = self._clips.popitem(last=False)
            self.size_bytes -= len(oldest.data)

    def clear(self) -> int:
        """Forget every clip; how many there were."""
        count = len(self._clips)
        self._clips.clear()
        self.size_bytes = 0
        return count
