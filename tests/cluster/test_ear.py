"""The cluster's ear notices what it is there to notice."""

from __future__ import annotations

import numpy as np

from engine.audio import resample
from tests.cluster.ear import FRAME_S, RATE_HZ, Ear
from tests.cluster.pages import PAUSE_S, Asked
from tests.cluster.words import PAGE_WORDS, PAGES, SENTENCE_WORDS, levels, page_codes, page_text
from tests.support.counting_engine import RATE_HZ as ENGINE_HZ
from tests.support.counting_engine import WORD_SAMPLES

FRAME_SAMPLES = round(FRAME_S * RATE_HZ)


def page_sound(page: int) -> np.ndarray:
    """A page at the engine's rate, with the pause between its sentences, word by word."""
    words = levels(page_text(page), WORD_SAMPLES).reshape(PAGE_WORDS, WORD_SAMPLES)
    pause = np.zeros(round(PAUSE_S * ENGINE_HZ), np.int16)
    return np.concatenate([words[:SENTENCE_WORDS].ravel(), pause, words[SENTENCE_WORDS:].ravel()])


def heard(*sounds: np.ndarray) -> Ear:
    """What is heard of these on a line, one after the other."""
    pcm = resample(np.concatenate(sounds), ENGINE_HZ, RATE_HZ)
    pcm = np.pad(pcm, (0, -pcm.size % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    ear = Ear()
    for number, frame in enumerate(pcm):
        ear.feed(frame.astype("<i2").tobytes(), 1.0 + number * FRAME_S)
    return ear


def test_every_page_is_read_back_word_by_word() -> None:
    for page in range(1, PAGES + 1):
        ear, asked = heard(page_sound(page)), Asked(page, 0)
        assert [word.code for word in ear.words] == list(page_codes(page))
        assert (asked.lost(ear), asked.twice(ear), ear.strange_frames) == (0, 0, 0)
        assert asked.longest_silence_s(ear) <= FRAME_S


def test_a_word_that_is_missing_is_lost() -> None:
    sound = page_sound(1)
    ear = heard(sound[: 3 * WORD_SAMPLES], sound[4 * WORD_SAMPLES :])
    assert (Asked(1, 0).lost(ear), Asked(1, 0).twice(ear), Asked(1, 0).is_whole(ear)) == (1, 0, False)


def test_words_that_are_said_once_more_are_counted_and_half_a_word_is_one() -> None:
    sound = page_sound(2)
    ear = heard(sound[: 5 * WORD_SAMPLES // 2], sound)
    assert (Asked(2, 0).lost(ear), Asked(2, 0).twice(ear)) == (0, 3)


def test_a_silence_in_the_middle_is_measured_without_the_pause_between_sentences() -> None:
    sound, silence = page_sound(3), np.zeros(round(0.3 * ENGINE_HZ), np.int16)
    for at in (7 * WORD_SAMPLES, 7 * WORD_SAMPLES // 2, SENTENCE_WORDS * WORD_SAMPLES):
        ear = heard(sound[:at], silence, sound[at:])
        assert abs(Asked(3, 0).longest_silence_s(ear) - 0.3) <= 2 * FRAME_S


def test_another_voice_is_strange() -> None:
    noise = np.random.default_rng(0).normal(0, 8_000, ENGINE_HZ // 2).astype(np.int16)
    assert heard(page_sound(1), noise).strange_frames > 20
