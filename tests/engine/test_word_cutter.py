"""A sentence's audio cut at its words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.speech import Chunk
from engine.word_cutter import WordCutter


def cut(cutter: WordCutter, *sizes: int) -> list[tuple[int, str]]:
    """Audio of these sizes, cut: samples and text of each chunk."""
    return [(chunk.pcm.size, chunk.text) for size in sizes for chunk in cutter.cut(np.zeros(size, np.int16))]


def test_an_engine_that_tells_nothing_leaves_the_sentence_whole() -> None:
    cutter = WordCutter("It costs $5. ", "It costs five dollars.")
    assert cut(cutter, 100, 100) == [(100, "It costs $5. "), (100, "")]
    cutter.tell([0, 50, 100, 150])  # too late
    assert cut(cutter, 100) == [(100, "")]
    assert cutter.rest() == ""


def test_each_word_as_written_begins_with_its_audio() -> None:
    cutter = WordCutter("It costs $5 now. ", "It costs five dollars now.")
    cutter.tell([10, 40, 90, 150, 210])
    assert cut(cutter, 100, 150) == [(40, "It "), (50, "costs "), (10, "$5 "), (110, ""), (40, "now. ")]
    assert cutter.rest() == ""


def test_words_may_be_told_of_bit_by_bit_before_their_audio() -> None:
    cutter = WordCutter("One two three four", "One two three four")
    cutter.tell([0, 30])
    assert cut(cutter, 50) == [(30, "One "), (20, "two ")]
    cutter.tell([60, 90])
    assert cut(cutter, 50) == [(10, ""), (30, "three "), (10, "four")]


def test_words_that_begin_at_once_stay_together() -> None:
    cutter = WordCutter("Wait - for me", "Wait - for me")
    cutter.tell([0, 40, 40, 80])
    assert cut(cutter, 100) == [(40, "Wait "), (40, "- for "), (20, "me")]


def test_words_it_was_never_told_of_are_the_rest() -> None:
    cutter = WordCutter("One two three", "One two three")
    cutter.tell([0])
    assert cut(cutter, 50) == [(50, "One ")]
    assert cutter.rest() == "two three"


def test_a_sentence_without_audio_has_no_rest() -> None:
    cutter = WordCutter("One two", "One two")
    cutter.tell([0, 10])
    assert cutter.rest() == ""


@given(
    st.lists(st.sampled_from(["one ", "two, ", " $5 ", "- ", "twenty-five "]), min_size=1, max_size=8),
    st.lists(st.sampled_from(["one", "two,", "five", "dollars", "25"]), min_size=1, max_size=10),
    st.lists(st.integers(0, 400), max_size=10),
    st.lists(st.integers(1, 200), min_size=1, max_size=10),
)
def test_no_sample_and_no_word_is_lost(
    written: list[str], spoken: list[str], starts: list[int], sizes: list[int]
) -> None:
    cutter = WordCutter("".join(written), " ".join(spoken))
    cutter.tell(sorted(starts)[: len(spoken)])
    pcm = np.arange(sum(sizes), dtype=np.int16)
    ends = np.cumsum([0, *sizes])
    chunks: list[Chunk] = [chunk for start, end in pairwise(ends) for chunk in cutter.cut(pcm[start:end])]
    np.testing.assert_array_equal(np.concatenate([chunk.pcm for chunk in chunks]), pcm)
    assert "".join(chunk.text for chunk in chunks) + cutter.rest() == "".join(written)
