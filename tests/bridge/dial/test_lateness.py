"""Lateness, spacing and bursts of known arrival times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dial.lateness import Spread, expected_frames, lateness_ms, longest_burst, spacing_ms

FRAMES = np.arange(100)
GRID_S = FRAMES * 0.020


def late(delay_s):
    return lateness_ms(5.0 + GRID_S + delay_s, GRID_S)


def test_frames_on_the_grid_are_not_late():
    assert late(np.zeros(100)) == pytest.approx(np.zeros(100), abs=1e-6)


def test_one_late_frame_is_late_by_its_delay_and_no_other_is():
    delay_s = np.where(FRAMES == 40, 0.007, 0.0)
    assert late(delay_s) == pytest.approx(delay_s * 1000, abs=1e-6)


def test_one_early_frame_makes_all_others_late():
    lateness = late(np.where(FRAMES == 40, -0.003, 0.0))
    assert lateness[40] == pytest.approx(0, abs=1e-6)
    assert np.delete(lateness, 40) == pytest.approx(np.full(99, 3.0), abs=1e-6)


def test_a_sender_that_stood_still_stays_late():
    lateness = late(np.where(FRAMES >= 50, 0.080, 0.0))
    assert lateness[49] == pytest.approx(0, abs=1e-6)
    assert lateness[50:] == pytest.approx(np.full(50, 80.0), abs=1e-6)


def test_dropping_frames_to_be_on_time_again_shows_as_lateness_and_as_missing_frames():
    arrivals_s = np.delete(GRID_S, [50, 51, 52])
    lateness = lateness_ms(arrivals_s, GRID_S[:97])
    assert lateness[49] == pytest.approx(0, abs=1e-6)
    assert lateness[50:] == pytest.approx(np.full(47, 60.0), abs=1e-6)
    assert expected_frames(arrivals_s, GRID_S[-1]) - arrivals_s.size == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(-1000, 1000))
def test_lateness_is_never_negative_and_knows_no_absolute_time(delays_s, shift_s):
    positions_s = GRID_S[: len(delays_s)]
    arrivals_s = positions_s + np.array(delays_s)
    lateness = lateness_ms(arrivals_s, positions_s)
    assert lateness.min() == 0
    assert lateness_ms(arrivals_s + shift_s, positions_s) == pytest.approx(lateness, abs=1e-6)


def test_spacing():
    assert spacing_ms(np.array([1.0, 1.020, 1.045])) == pytest.approx([20, 25])


@pytest.mark.parametrize(
    ("arrivals_ms", "longest"),
    [([], 0), ([0], 1), ([0, 20, 40], 1), ([0, 1, 2, 40], 3), ([0, 20, 21, 22, 23], 4), ([0, 4, 10, 29], 2)],
)
def test_longest_burst(arrivals_ms, longest):
    assert longest_burst(np.array(arrivals_ms) / 1000) == longest


def test_expected_frames_until_the_last_one():
    assert expected_frames(GRID_S, 1.985) == 100
    assert expected_frames(GRID_S + np.where(FRAMES == 99, 0.006, 0.0), 1.999) == 100


def test_expected_frames_after_the_sender_ceased():
    assert expected_frames(GRID_S, 2.980) == 149


def test_expected_frames_of_nothing():
    assert expected_frames(np.array([]), 10.0) == 0


def test_percentiles_are_values_that_occurred():
    spread = Spread.of(np.arange(1.0, 1001.0))
    assert spread == Spread(count=1000, p50=500.0, p99=990.0, p999=999.0, max=1000.0)


def test_no_spread_of_nothing():
    assert Spread.of(np.array([])) is None
