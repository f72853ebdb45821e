"""What a piece of a voice is like: its pitch, and whether it comes through a room."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.hearing.voice_traits import RATE_HZ, Traits, VoiceTraits, traits
from tests.support.voices import caller_says

WINDOW = 256


def pulses(hz: float, samples: int = 2 * WINDOW) -> NDArray[np.float32]:
    """A voice of this pitch: pulses through one resonance."""
    phase = np.arange(samples) * hz / RATE_HZ
    sound = np.diff(np.floor(phase), prepend=0.0)
    ring = np.exp(-np.arange(40) / 12) * np.cos(2 * np.pi * 700 * np.arange(40) / RATE_HZ)
    return (0.2 * np.convolve(sound, ring)[:samples]).astype(np.float32)


@pytest.mark.parametrize("hz", [80, 120, 210, 330])
def test_the_pitch_is_told_within_half_a_semitone(hz: int) -> None:
    pitch = traits(pulses(hz)).pitch
    assert pitch is not None
    assert abs(pitch - 12 * np.log2(hz)) < 0.5


def test_noise_has_no_pitch_and_no_peaks_and_silence_nothing() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * WINDOW).astype(np.float32)
    found = traits(noise)
    assert found.pitch is None
    assert 2.0 < found.peaks < 4.5
    assert traits(np.zeros(2 * WINDOW, np.float32)) == Traits()


def test_a_voice_in_a_room_is_less_peaked_and_has_the_same_pitch() -> None:
    near = caller_says("I would like to book a table for four people tomorrow.").astype(np.float32) / 32768
    random = np.random.default_rng(2)
    room = random.standard_normal(2_000) * np.exp(-np.arange(2_000) / 520)
    room = np.concatenate(([1.0], room / np.sqrt(np.sum(room**2))))
    far = np.convolve(near, room)[: len(near)].astype(np.float32)
    found = []
    for sound in (near, far):
        looked = [traits(sound[at : at + 2 * WINDOW]) for at in range(0, len(sound) - 2 * WINDOW, WINDOW)]
        found.append((np.median([t.pitch for t in looked if t.pitch]), np.median([t.peaks for t in looked])))
    (near_pitch, near_peaks), (far_pitch, far_peaks) = found
    assert abs(near_pitch - far_pitch) < 1.0
    assert far_peaks < near_peaks - 1.0


def test_two_windows_are_looked_at_together_and_only_where_that_is_wanted() -> None:
    sound = pulses(120, 4 * WINDOW)
    windows = [sound[at : at + WINDOW] for at in range(0, len(sound), WINDOW)]
    voice = VoiceTraits()
    assert voice.push(windows[0], wanted=True) is None
    assert voice.push(windows[1], wanted=False) is None
    pairs = [np.concatenate(pair) for pair in pairwise(windows)]
    assert [voice.push(window, wanted=True) for window in windows[2:]] == [traits(pair) for pair in pairs[1:]]
