from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cache import AudioCache, CacheKey, Clip
from engine.lexicon import Lexicon
from engine.speech import Priority, Style, VoiceReference

STYLE = Style(voice="low", priority=Priority.HTTP)
KEY = CacheKey("tone", "tone-1", "Hello.", True, STYLE, "wav", 24_000)
REFERENCE = VoiceReference(np.arange(9, dtype=np.int16), 24_000, "nine")
OTHER = {
    "engine": "other",
    "model_id": "tone-2",
    "text": "Hello!",
    "normalize": False,
    "style": replace(STYLE, voice="high"),
    "format": "mp3",
    "sample_rate_hz": 8_000,
    "timestamps": True,
}
OTHER_STYLE = {
    "voice": "high",
    "language": "de",
    "instructions": "whisper",
    "speed": 1.1,
    "temperature": 0.5,
    "top_p": 0.5,
    "seed": 1,
    "reference": REFERENCE,
    "lexicon": Lexicon({"en": {}}),
    "priority": Priority.CALL,
    "sample_rate_hz": 8_000,
}


def clip(size: int) -> Clip:
    return Clip(bytes(size), size / 48_000)


def keyed(number: int) -> CacheKey:
    return replace(KEY, text=str(number))


@pytest.mark.parametrize("field", [field.name for field in fields(CacheKey)])
def test_whatever_shapes_the_audio_keeps_it_apart(field):
    cache = AudioCache(10, 1_000)
    cache.put(KEY, clip(1))
    assert cache.get(replace(KEY, **{field: OTHER[field]})) is None
    assert cache.get(replace(KEY)) is not None


@pytest.mark.parametrize("field", [field.name for field in fields(Style) if field.compare])
def test_whatever_shapes_the_voice_keeps_it_apart(field):
    """A field that is added to Style is in the key by itself, but for one that it declares to make no difference."""
    cache = AudioCache(10, 1_000)
    cache.put(KEY, clip(1))
    assert cache.get(replace(KEY, style=replace(STYLE, **{field: OTHER_STYLE[field]}))) is None


def test_the_same_recording_is_the_same_voice():
    again = VoiceReference(np.arange(9, dtype=np.int16), 24_000, "nine")
    other = VoiceReference(np.arange(1, 10, dtype=np.int16), 24_000, "nine")
    cache = AudioCache(10, 1_000)
    cache.put(replace(KEY, style=replace(STYLE, reference=REFERENCE)), clip(1))
    assert cache.get(replace(KEY, style=replace(STYLE, reference=again))) is not None
    assert cache.get(replace(KEY, style=replace(STYLE, reference=other))) is None


def test_the_one_used_longest_ago_makes_room():
    cache = AudioCache(2, 1_000)
    cache.put(keyed(1), clip(1))
    cache.put(keyed(2), clip(1))
    assert cache.get(keyed(1)) is not None
    cache.put(keyed(3), clip(1))
    assert cache.get(keyed(2)) is None
    assert cache.get(keyed(1)) is not None
    assert cache.get(keyed(3)) is not None


def test_bytes_are_limited_as_entries_are():
    cache = AudioCache(10, 100)
    cache.put(keyed(1), clip(60))
    cache.put(keyed(2), clip(60))
    assert (len(cache), cache.size_bytes) == (1, 60)
    cache.put(keyed(3), clip(101))
    assert cache.get(keyed(3)) is None
    assert cache.get(keyed(2)) is not None


@pytest.mark.parametrize(("entries", "size"), [(0, 100), (10, 0)])
def test_it_can_be_turned_off(entries, size):
    cache = AudioCache(entries, size)
    cache.put(KEY, clip(1))
    assert cache.get(KEY) is None
    assert len(cache) == 0


def test_clearing_says_how_many_there_were():
    cache = AudioCache(10, 100)
    cache.put(keyed(1), clip(10))
    cache.put(keyed(2), clip(10))
    assert cache.clear() == 2
    assert (len(cache), cache.size_bytes, cache.clear()) == (0, 0, 0)


@given(st.integers(0, 4), st.integers(0, 50), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), max_size=40))
def test_it_never_holds_more_than_it_may(entries, size, puts):
    cache = AudioCache(entries, size)
    for number, clip_size in puts:
        cache.put(keyed(number), clip(clip_size))
        assert len(cache) <= entries
        assert cache.size_bytes <= size
    assert cache.size_bytes == sum(len(held.data) for n in range(7) if (held := cache.get(keyed(n))) is not None)
