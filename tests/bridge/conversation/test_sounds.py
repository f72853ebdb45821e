"""The sounds of a call that waits: levels, cadences, and files of the administrator's."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from bridge.config import Settings, WrongSetting
from bridge.conversation.sounds import ringing, thinking
from bridge.line.looped_sound import LoopedSound
from engine.speech import Pcm
from tests.support.asterisk.signals import share_db

RATE_HZ = 8_000


def once(sound: LoopedSound) -> Pcm:
    return np.frombuffer(b"".join(sound.frame(index, RATE_HZ) for index in range(sound.frames)), np.int16)


def level_db(pcm: Pcm) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(pcm.astype(float)))) / 32_768))


def write_wav(path: Path, pcm: np.ndarray, rate_hz: int, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        wav.writeframes(pcm.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("country", "low_hz", "high_hz", "seconds", "sounding_s"),
    [("us", 430, 490, 6.0, 2.0), ("uk", 390, 460, 3.0, 0.8), ("eu", 415, 435, 5.0, 1.0)],
)
def test_ringing_has_the_tone_and_the_pace_of_its_country(
    country: str, low_hz: float, high_hz: float, seconds: float, sounding_s: float
) -> None:
    heard = once(ringing(country))
    assert len(heard) == seconds * RATE_HZ
    assert share_db(heard[: round(0.4 * RATE_HZ)], RATE_HZ, low_hz, high_hz) > -0.5
    loud = np.abs(heard.reshape(-1, 160)).max(axis=1) > 100
    assert loud.mean() * seconds == pytest.approx(sounding_s, abs=0.05)
    assert loud[0], "it begins at once"


@pytest.mark.parametrize("db", [-45.0, -34.0, -20.0])
def test_the_soft_sound_is_as_loud_as_was_asked_and_begins_and_ends_in_silence(db: float) -> None:
    heard = once(thinking("soft", db))
    assert level_db(heard) == pytest.approx(db, abs=1)
    assert np.abs(heard[:80]).max() < 10
    assert np.abs(heard[-80:]).max() < 10


def test_a_file_of_another_rate_and_of_two_channels_goes_round_without_a_click(tmp_path: Path) -> None:
    tone = 20_000 * np.sin(2 * np.pi * 300.3 * np.arange(48_000) / 48_000)
    path = write_wav(tmp_path / "waves.wav", np.repeat(tone, 2), 48_000, channels=2)
    heard = once(thinking(str(path), -34))
    assert level_db(heard) == pytest.approx(-34, abs=1)
    assert share_db(heard, RATE_HZ, 280, 320) > -0.5
    steps = np.abs(np.diff(np.tile(heard, 2).astype(int)))
    assert steps.max() < 2 * np.median(steps[:800]) + 50


def test_a_file_that_cannot_be_heard_is_named_at_the_start(tmp_path: Path) -> None:
    text = tmp_path / "words.wav"
    text.write_text("no sound")
    silent = write_wav(tmp_path / "silent.wav", np.zeros(8_000), 8_000)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(b"RIFF\x24\x00\x00\x00WAVEjunk\x40\x06\x00\x00cut")
    for value, problem in (
        ("jazz", "must be soft, or a WAV file: No such file"),
        (str(text), "must be soft, or a WAV file: file does not start with RIFF"),
        (str(silent), "must be a file with sound in it"),
        (str(cut), "must be soft, or a WAV file: this one is cut off"),
    ):
        with pytest.raises((WrongSetting, ValueError), match=problem):
            Settings.of(thinking_sound=value)
