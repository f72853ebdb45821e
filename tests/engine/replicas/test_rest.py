"""What of a second reading follows on what was heard of the first: no word is lost, none is said twice."""

from __future__ import annotations

import numpy as np
import pytest

from engine.hibari.messages import Speak
from engine.hibari.synthesis import Synthesizer
from engine.replicas.rest import Rest

RATE_HZ = 24_000
PIECE_SAMPLES = 2_400
OFF_MS = 60
"""Less than half a syllable."""


def following(heard, anew):
    """What is left of a whole second reading, in pieces as it comes."""
    rest, said = Rest(heard, RATE_HZ), []
    for start in range(0, anew.size, PIECE_SAMPLES):
        said.append(rest.add(anew[start : start + PIECE_SAMPLES]))
        if rest.due:
            said.append(rest.join())
    said.append(rest.join())
    return np.concatenate(said)


@pytest.mark.parametrize("cut", [1, 2_400, 2_401, 30_000, 47_999, 48_000])
def test_the_same_reading_goes_on_at_the_very_sample(cut):
    whole = np.random.default_rng(1).integers(-9_000, 9_000, 48_000, np.int16)
    assert np.array_equal(following(whole[:cut], whole), whole[cut:])


def test_the_same_reading_goes_on_at_once():
    """Nothing is waited for beyond the cut."""
    whole = np.arange(48_000, dtype=np.int16)
    rest = Rest(whole[:10_000], RATE_HZ)
    assert not rest.add(whole[:10_000]).size
    assert np.array_equal(rest.add(whole[10_000:10_100]), whole[10_000:10_100])


@pytest.fixture(scope="module")
def speak():
    synthesizer = Synthesizer()

    def make(text, speed, seed):
        starts = []
        pieces = synthesizer.speak(Speak(text, "heart", speed, seed, word_starts=True), starts.extend)
        return np.concatenate(list(pieces)), starts

    return make


@pytest.mark.parametrize(("speed", "seed"), [(1.0, 7), (0.9, 3), (1.15, 5)])
def test_another_reading_goes_on_within_the_syllable(speak, speed, seed):
    text = "Please hold the line for a moment, I am looking for the next free appointment with Doctor Miller."
    first, first_starts = speak(text, 1.0, 0)
    second, second_starts = speak(text, speed, seed)
    for cut in range(PIECE_SAMPLES * 3, first.size - PIECE_SAMPLES, PIECE_SAMPLES * 7):
        at = second.size - following(first[:cut], second).size
        meant = np.interp(cut, [*first_starts, first.size], [*second_starts, second.size])
        assert abs(at - meant) / RATE_HZ * 1000 < OFF_MS


def test_a_reading_that_ends_sooner_than_what_was_heard_says_nothing_more():
    whole = np.arange(20_000, dtype=np.int16)
    assert not following(whole, whole[:15_000]).size


def test_readings_too_short_for_a_seam_lose_nothing():
    assert following(np.ones(100, np.int16), np.full(300, 2, np.int16)).size == 200
