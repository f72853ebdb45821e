"""What goes out of a sentence: its silence cut, its pace set, one piece for each push, without a click at the end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.audio import resample
from engine.qwen3.worker.output import BEFORE_MS, FADE_MS, Output
from engine.silence_trim import WINDOW_SAMPLES

RATE_HZ = 24000
BEFORE_SAMPLES, FADE_SAMPLES = BEFORE_MS * RATE_HZ // 1000, FADE_MS * RATE_HZ // 1000
FRAME = 1920


def tone(seconds: float, hz: float = 200) -> NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(int(seconds * RATE_HZ), np.float32)


def pcm_of(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.rint(sound * 32767).astype(np.int16)


def levels_of(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.mean(sound.reshape(-1, WINDOW_SAMPLES) ** 2, axis=1))


def through(
    sound: NDArray[np.float32], chunk: int = FRAME, speed: float = 1.0, cut_short: bool = False
) -> list[NDArray]:
    output = Output(speed)
    chunks = (sound[at : at + chunk] for at in range(0, len(sound), chunk))
    pieces = [output.push(pcm_of(each), levels_of(each)) for each in chunks]
    return [piece for piece in (*pieces, output.flush(cut_short)) if piece.size]


def test_silence_at_both_ends_goes_and_pauses_stay() -> None:
    pieces = through(np.concatenate((silence(0.5), tone(0.4), silence(0.3), tone(0.4), silence(0.6))))
    seconds = sum(map(len, pieces)) / RATE_HZ
    assert seconds == pytest.approx(1.1 + BEFORE_SAMPLES / RATE_HZ + 0.05, abs=0.03)


@settings(max_examples=50, deadline=None)
@given(
    frames=st.lists(st.booleans(), min_size=1, max_size=30), chunk=st.sampled_from([480, FRAME, 2 * FRAME, 8 * FRAME])
)
def test_a_push_gives_one_piece_of_20_ms_or_more_and_nothing_is_lost(frames: list[bool], chunk: int) -> None:
    sound = np.concatenate([tone(0.08) if loud else silence(0.08) for loud in frames])
    pieces = through(sound, chunk)
    assert all(len(piece) >= 0.02 * RATE_HZ for piece in pieces)
    heard = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    if any(frames):
        first = max(0, frames.index(True) * FRAME - BEFORE_SAMPLES)
        last = (len(frames) - frames[::-1].index(True)) * FRAME
        expected = np.rint(sound[first:last] * 32767)
        # The trimming looks at windows of 10 ms, so it may begin one earlier.
        lead = len(heard) - len(np.trim_zeros(heard, "f"))
        expected_lead = len(expected) - len(np.trim_zeros(expected, "f"))
        offset = lead - expected_lead
        assert -WINDOW_SAMPLES <= offset <= WINDOW_SAMPLES
        both = min(len(heard) - max(offset, 0), len(expected) - max(-offset, 0)) - 2 * WINDOW_SAMPLES
        assert np.array_equal(heard[max(offset, 0) :][:both], expected[max(-offset, 0) :][:both])
    else:
        assert heard.size == 0


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_speed_changes_the_length_and_keeps_the_pitch(speed: float) -> None:
    heard = np.concatenate(through(tone(3.0), speed=speed)).astype(float)
    assert len(heard) / RATE_HZ == pytest.approx(3.0 / speed, abs=0.12)
    middle = heard[len(heard) // 4 : len(heard) // 4 * 3]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * RATE_HZ / len(middle) == pytest.approx(200, abs=8)


def test_cut_short_is_faded_out() -> None:
    heard = np.concatenate(through(tone(0.4), cut_short=True))
    assert abs(int(heard[-1])) < 200
    assert np.abs(heard[-FADE_SAMPLES - 240 : -FADE_SAMPLES]).max() > 8000


def test_the_first_sound_is_not_held_back() -> None:
    """One frame of speech gives 70 ms at once."""
    sound = tone(0.08)
    assert Output().push(pcm_of(sound), levels_of(sound)).size == FRAME - FADE_SAMPLES


@pytest.mark.parametrize("late", [0, 38])
def test_narrowband_is_cut_where_the_model_s_own_rate_is(late: int) -> None:
    """By the same levels, though a hiss at 6 kHz is none of its sound and some samples come with the next chunk."""
    sound = np.concatenate((silence(0.24), tone(0.16, hz=6000), tone(0.4), silence(0.4), tone(0.16), silence(0.4)))
    narrow = resample(pcm_of(sound), 24000, 8000)
    wide = np.concatenate(through(sound))
    output = Output(narrowband=True)
    ends = [*range(FRAME // 3 - late, len(narrow) - late, FRAME // 3), len(narrow)]
    pieces, begin = [], 0
    for number, end in enumerate(ends):
        levels = levels_of(sound[number * FRAME : (number + 1) * FRAME])
        pieces.append(output.push(narrow[begin:end], levels))
        begin = end
    heard = np.concatenate((*pieces, output.flush(cut_short=False)))
    assert 3 * len(heard) == len(wide)
    begins = int(0.24 * 8000) - BEFORE_MS * 8
    kept = len(heard) - 50 * 8
    np.testing.assert_array_equal(heard[:kept], narrow[begins : begins + kept])
