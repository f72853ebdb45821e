"""The sound under a call that waits: where it is heard, and that it is gone when anything else is."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from bridge.line import looped_sound
from bridge.line.audiosocket import RATE_HZ as RATES_HZ
from bridge.line.background_sound import FADE_MS
from bridge.line.looped_sound import LoopedSound
from bridge.line.playout import Playout
from bridge.line.utterance import Utterance
from engine.audio import resample
from engine.speech import Pcm

RATE_HZ = 8_000
FRAME = 160
FADE = FADE_MS * RATE_HZ // 1000
LEVEL = 500
SPEECH = 9_000


@pytest.fixture
def playout() -> Playout:
    return Playout()


def hum(frames: int = 5, rate_hz: int = RATE_HZ) -> LoopedSound:
    return LoopedSound(np.full(frames * rate_hz // 50, LEVEL, np.int16), rate_hz)


def noise(s: int) -> Pcm:
    return np.random.default_rng(1).integers(-9_000, 9_000, s * 16_000).astype(np.int16)


def hear(playout: Playout, ticks: int = 1) -> np.ndarray:
    frames = [playout.tick(0.02 * index) for index in range(ticks)]
    assert all(len(pcm) == rate_hz // 50 * 2 for rate_hz, pcm in frames)
    return np.frombuffer(b"".join(pcm for _, pcm in frames), np.int16)


def spoken(playout: Playout, frames: int, *, ended: bool = True) -> Utterance:
    utterance = playout.begin()
    utterance.open(RATE_HZ)
    utterance.write(np.full(frames * FRAME, SPEECH, np.int16).tobytes(), "Words.")
    if ended:
        utterance.end()
    return utterance


def test_it_is_heard_after_a_while_and_goes_round(playout: Playout) -> None:
    playout.background.play(hum(), after_ms=100)
    heard = hear(playout, 20)
    assert not heard[: 5 * FRAME].any()
    assert heard[5 * FRAME] == 0, "it fades in"
    assert np.all(heard[5 * FRAME + FADE :] == LEVEL)


def test_it_is_gone_within_the_tick_in_which_speech_begins(playout: Playout) -> None:
    playout.background.play(hum(), after_ms=0)
    hear(playout, 3)
    utterance = spoken(playout, 2)
    first, second = hear(playout), hear(playout)
    assert first[0] == SPEECH + LEVEL
    assert np.all(first[FADE:] == SPEECH)
    assert np.all(second == SPEECH)
    assert utterance.played_samples == 2 * FRAME, "nothing of the speech is put off"


def test_it_comes_back_between_utterances_and_is_never_heard_text(playout: Playout) -> None:
    playout.background.play(hum(), after_ms=40)
    utterance = spoken(playout, 2)
    assert np.all(hear(playout, 2) == SPEECH)
    assert not hear(playout, 2).any()
    assert hear(playout, 3)[-1] == LEVEL
    assert utterance.heard_text() == "Words."
    assert utterance.played_ms == 40
    assert playout.idle
    assert not playout.speaking


def test_a_gap_within_an_utterance_stays_a_gap(playout: Playout) -> None:
    playout.background.play(hum(), after_ms=0)
    spoken(playout, 1, ended=False)
    hear(playout)
    assert not hear(playout, 5).any()


def test_it_is_silent_while_the_agent_pauses_for_the_caller(playout: Playout) -> None:
    playout.background.play(hum(), after_ms=0)
    hear(playout)
    playout.paused = True
    heard = hear(playout, 5)
    assert not heard[FADE:].any(), "after 5 ms"


def test_stopped_it_fades_within_a_tick_and_begins_anew_later(playout: Playout) -> None:
    playout.background.play(hum(), after_ms=60)
    hear(playout, 5)
    playout.background.stop()
    last = hear(playout)
    assert last[0] == LEVEL
    assert not last[FADE:].any()
    assert not hear(playout, 10).any()
    assert playout.background.idle
    playout.background.play(hum(), after_ms=60)
    assert not hear(playout, 3).any()
    assert hear(playout, 1).any()


def test_a_loud_word_over_its_end_does_not_wrap_round(playout: Playout) -> None:
    playout.background.play(LoopedSound(np.full(FRAME, 20_000, np.int16), RATE_HZ), after_ms=0)
    hear(playout, 2)
    utterance = playout.begin()
    utterance.open(RATE_HZ)
    utterance.write(np.full(FRAME, 30_000, np.int16).tobytes())
    assert np.all(hear(playout) >= 30_000)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_each_rate_has_whole_frames_that_join(rate_hz: int) -> None:
    tone = np.round(3_000 * np.sin(2 * np.pi * 50 * np.arange(2_000) / 16_000)).astype(np.int16)  # ends in mid-frame
    sound = LoopedSound(tone, 16_000)
    assert sound.frames == 6
    once = b"".join(sound.frame(index, rate_hz) for index in range(6))
    assert len(once) == 6 * rate_hz // 50 * 2
    assert sound.frame(6, rate_hz) == sound.frame(0, rate_hz)
    again = np.frombuffer(once * 2, np.int16).astype(int)
    inside = np.abs(np.diff(again[: len(again) // 4])).max()
    assert np.abs(np.diff(again)).max() < 3 * inside, "no click at the seam"


def test_a_sound_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="20 ms"):
        LoopedSound(np.ones(100, np.int16), 8_000)


@pytest.mark.parametrize("rate_hz", [12_000, 44_100, 192_000])
def test_a_tick_makes_little_of_a_long_sound_at_an_unusual_rate(monkeypatch: pytest.MonkeyPatch, rate_hz: int) -> None:
    sound = LoopedSound(noise(s=4), 16_000)
    whole = resample(noise(s=4), 16_000, rate_hz).astype("<i2")
    asked: list[int] = []

    def noted(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
        asked.append(len(pcm))
        return resample(pcm, from_hz, to_hz)

    monkeypatch.setattr(looped_sound, "resample", noted)
    frames = [np.frombuffer(sound.frame(index, rate_hz), "<i2") for index in range(2 * sound.frames)]
    assert max(asked) < 0.5 * 16_000
    middle = slice(rate_hz, 3 * rate_hz)  # the whole begins and ends in silence
    assert np.array_equal(np.concatenate(frames[: sound.frames])[middle], whole[middle])
    assert np.array_equal(frames[: sound.frames], frames[sound.frames :])


def test_a_long_sound_at_an_unusual_rate_takes_bounded_memory() -> None:
    sound = LoopedSound(noise(s=60), 16_000)
    tracemalloc.start()
    for index in range(0, sound.frames, looped_sound.PIECE_FRAMES):
        sound.frame(index, 192_000)
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 18_000_000, "all of it would be 23,040,000"


def test_a_short_sound_is_made_once_for_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = LoopedSound(noise(s=4), 16_000)
    once = [sound.frame(index, 48_000) for index in range(sound.frames)]
    monkeypatch.delattr(looped_sound, "resample")
    assert [sound.frame(index, 48_000) for index in range(sound.frames)] == once


@pytest.mark.parametrize("file_hz", [6_000, 11_025, 22_050, 37_800, 88_200])
def test_a_file_of_any_rate_is_heard_whole_at_every_rate_of_a_call(file_hz: int) -> None:
    sound = LoopedSound(np.full(file_hz // 3, LEVEL, np.int16), file_hz)
    for rate_hz in RATES_HZ.values():
        heard = np.frombuffer(b"".join(sound.frame(index, rate_hz) for index in range(sound.frames)), "<i2")
        assert len(heard) == sound.frames * rate_hz // 50
        assert np.abs(heard.astype(int) - LEVEL).max() <= 1, "the seam is not heard either"
