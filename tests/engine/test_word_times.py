"""When words begin and end, told from the pipeline's chunks."""

from __future__ import annotations

import numpy as np
import pytest

from engine.speech import Chunk
from engine.word_times import WordTimes

RATE_HZ = 1_000


def chunk(ms: int, text: str = "", spoken: str = "", *, is_pause: bool = False) -> Chunk:
    return Chunk(np.zeros(ms, np.int16), text, spoken, is_pause)


def told(*chunks: Chunk) -> list[tuple[str, float, float, bool]]:
    times = WordTimes(RATE_HZ)
    words = [word for chunk in chunks for word in times.take(chunk)] + [*times.finish()]
    return [(word.word, word.start_s, word.end_s, word.is_estimated) for word in words]


def test_a_word_that_the_engine_tells_lasts_until_the_next_begins():
    assert told(chunk(100, "Hello "), chunk(50), chunk(200, "there. ")) == [
        ("Hello", 0.0, 0.15, False),
        ("there.", 0.15, 0.35, False),
    ]


def test_a_pause_belongs_to_no_word():
    assert told(chunk(100, "One. "), chunk(180, is_pause=True), chunk(100, "Two."), chunk(500, " ", is_pause=True)) == [
        ("One.", 0.0, 0.1, False),
        ("Two.", 0.28, 0.38, False),
    ]


def test_words_of_an_engine_that_tells_nothing_share_the_sentence_by_what_is_read():
    words = told(chunk(300, "It costs $5. ", "It costs five dollars."), chunk(400), chunk(10, "So."))
    assert [word for word, *_ in words] == ["It", "costs", "$5.", "So."]
    starts = [start for _, start, _, _ in words]
    assert starts == pytest.approx([0, 0.7 * 2 / 18, 0.7 * 7 / 18, 0.7], abs=0.001)
    assert [is_estimated for *_, is_estimated in words] == [False, True, True, False]


def test_a_dash_takes_no_time():
    assert told(chunk(100, "Wait "), chunk(80, "- for "), chunk(20, "me")) == [
        ("Wait", 0.0, 0.1, False),
        ("-", 0.1, 0.1, False),
        ("for", 0.1, 0.18, False),
        ("me", 0.18, 0.2, False),
    ]


def test_what_a_decoder_puts_before_the_audio_is_counted():
    times = WordTimes(RATE_HZ, delay_s=0.5)
    times.take(chunk(100, "Hello"))
    assert [(word.start_s, word.end_s) for word in times.finish()] == [(0.5, 0.6)]


def test_nothing_but_marks_still_ends():
    assert told(chunk(100, "… — !")) == [("…", 0, 0.033, False), ("—", 0.033, 0.067, True), ("!", 0.067, 0.1, True)]
