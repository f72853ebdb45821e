"""Noise, echo and coughs: how loud they are, and when the echo comes."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.converse.line_conditions import (
    LineConditions,
    at_level,
    babble,
    cough,
    level_dbfs,
    music,
    pcm_of,
    samples,
    tone,
    white,
)

RATE_HZ = 8_000
FRAME = 160


def random() -> np.random.Generator:
    return np.random.default_rng(7)


def sent(line: LineConditions, frames: int) -> np.ndarray:
    """What leaves while the caller is silent."""
    return np.concatenate([np.frombuffer(line.send(bytes(2 * FRAME)), "<i2") for _ in range(frames)])


def test_a_level_leaves_out_the_pauses() -> None:
    tone = 0.1 * np.sin(np.arange(RATE_HZ) * 0.3)
    spoken = np.concatenate((tone, np.zeros(3 * RATE_HZ)))
    assert level_dbfs(spoken, RATE_HZ) == pytest.approx(level_dbfs(tone, RATE_HZ), abs=0.1)
    assert level_dbfs(at_level(spoken, RATE_HZ, -30), RATE_HZ) == pytest.approx(-30, abs=0.1)
    assert not at_level(np.zeros(RATE_HZ), RATE_HZ, -30).any()


@pytest.mark.parametrize("kind", ["white", "music", "babble"])
def test_noise_is_as_loud_as_it_should_be_and_goes_on(kind: str) -> None:
    clips = [0.1 * np.sin(np.arange(2_000) * hz) for hz in (0.2, 0.3)]
    made = {
        "white": white(RATE_HZ, random()),
        "music": music(RATE_HZ, RATE_HZ, random()),
        "babble": babble(clips, RATE_HZ, random()),
    }[kind]
    assert made.size == RATE_HZ
    line = LineConditions(RATE_HZ, noise=at_level(made, RATE_HZ, -34))
    first, second = sent(line, 50), sent(line, 50)
    assert level_dbfs(samples(first), RATE_HZ) == pytest.approx(-34, abs=0.2)
    assert (first == second).all(), "it begins anew where it ends"


def test_the_echo_comes_back_later_and_softer() -> None:
    line = LineConditions(RATE_HZ, echo_db=-20, echo_delay_ms=40)
    agent = np.full(FRAME, 10_000, "<i2")
    line.heard(agent.tobytes())
    before, after = sent(line, 2), sent(line, 2)
    assert not before.any()
    assert (after[:FRAME] == 1_000).all()
    assert not after[FRAME:].any()


def test_a_clean_line_changes_nothing_and_a_loud_one_clips() -> None:
    frame = np.arange(FRAME, dtype="<i2").tobytes()
    assert LineConditions(RATE_HZ).send(frame) == frame
    assert pcm_of(np.array([2.0, -2.0])).tolist() == [32767, -32768]


def test_a_tone_has_its_frequencies_and_no_others() -> None:
    power = np.abs(np.fft.rfft(tone(RATE_HZ, RATE_HZ, 350, 440))) ** 2
    assert sorted(np.argsort(power)[-2:]) == [350, 440]
    assert power[[350, 440]].sum() > 0.999 * power.sum()


def test_coughs_differ_and_are_short_bursts() -> None:
    generator = random()
    one, other = cough(RATE_HZ, generator), cough(RATE_HZ, generator)
    assert one.size != other.size
    assert 0.5 < one.size / RATE_HZ < 1.0
    assert np.abs(one).max() == pytest.approx(0.5)
