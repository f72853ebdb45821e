"""Hold music and tones are told from callers and from noise, by the real detector, in generated sounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.converse.line_conditions import at_level, babble, music, pcm_of, samples, white
from bridge.hearing.events import HoldBegan, HoldEnded, SpeechStarted, SpeechStopped, Voiced
from bridge.hearing.speech_gate import GateRules
from bridge.hearing.vad import Detector
from engine.audio import ulaw_encode
from tests.support.g711 import ulaw_decode
from tests.support.voices import caller_says, silence

RATE_HZ = 8_000
SPEECH_DBFS = -24.0
Sound = NDArray[np.float64]


def loud(sound: Sound, dbfs: float = SPEECH_DBFS) -> Sound:
    return at_level(sound, RATE_HZ, dbfs)


def quiet(ms: int) -> Sound:
    return np.zeros(ms * RATE_HZ // 1000)


def words(text: str) -> Sound:
    return loud(samples(caller_says(text)))


def hold_music(seconds: float) -> Sound:
    return loud(music(round(seconds * RATE_HZ), RATE_HZ, np.random.default_rng(1)))


def tone(frequencies_hz: tuple[int, ...], seconds: float, on_s: float = 1, off_s: float = 0) -> Sound:
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = sum(np.sin(2 * np.pi * hz * at_s) for hz in frequencies_hz) * (at_s % (on_s + off_s) < on_s)
    return loud(np.asarray(sound))


def with_words(sound: Sound, at_s: int, text: str) -> Sound:
    """The sound, and before it what a caller says."""
    said = np.concatenate((quiet(1_000 * at_s), words(text)))
    return sound + np.pad(said, (0, len(sound) - len(said)))


async def heard(*parts: Sound) -> list[Voiced]:
    """What the detector makes of these sounds, one after the other, through G.711."""
    pcm = ulaw_decode(ulaw_encode(pcm_of(np.concatenate(parts))))
    detector, events = Detector(), list[Voiced]()
    ear = detector.ear(events.append, rules=GateRules(tells_hold=True))
    for start in range(0, len(pcm), 160):
        ear.push(pcm[start : start + 160].tobytes(), RATE_HZ)
        await detector.settled()
    await detector.close()
    return events


async def test_hold_music_is_told_and_so_is_the_caller_who_comes_back() -> None:
    before = np.concatenate((words("Hold on, please."), quiet(1_500)))
    events = await heard(before, hold_music(8), quiet(300), words("Hello, are you still there?"), quiet(1_000))
    kinds = [type(event) for event in events]
    assert kinds == [SpeechStarted, SpeechStopped, HoldBegan, HoldEnded, SpeechStarted, SpeechStopped]
    began, ended = events[2], events[3]
    assert isinstance(began, HoldBegan)
    assert began.audio_start_ms == pytest.approx(len(before) / 8, abs=300), "where the music began"
    assert isinstance(ended, HoldEnded)
    assert ended.audio_end_ms == pytest.approx(len(before) / 8 + 8_300 + 600, abs=500)


@pytest.mark.parametrize(
    "tone",
    [tone((350, 440), 6), tone((480, 620), 6, 0.5, 0.5), tone((1_000,), 6)],
    ids=["dial tone", "busy", "one note"],
)
async def test_tones_are_hold_until_they_have_been_over_for_a_while(tone: Sound) -> None:
    events = await heard(quiet(2_000), tone, quiet(3_000))
    assert [type(event) for event in events] == [HoldBegan, HoldEnded]


def people() -> Sound:
    clips = [words(text) for text in ("It was so full that we came home.", "Nobody knew when it would come.")]
    return loud(babble(clips, 8 * RATE_HZ, np.random.default_rng(1)), -30)


@pytest.mark.parametrize(
    "sound",
    [
        loud(white(8 * RATE_HZ, np.random.default_rng(1))),
        loud(np.cumsum(np.random.default_rng(1).standard_normal(8 * RATE_HZ)) % 1),
        people(),
        np.concatenate([words("I would like to book a table for four people tomorrow at eight.")] * 3),
        quiet(8_000),
        tone((440,), 1),
    ],
    ids=["white", "rumble", "babble", "speech", "silence", "a short tone"],
)
async def test_noise_and_speech_are_no_hold(sound: Sound) -> None:
    events = await heard(quiet(2_000), sound, quiet(1_000))
    assert not [event for event in events if isinstance(event, HoldBegan)]


@pytest.mark.parametrize("held_back_ms", [0, 1_200])
async def test_music_that_is_there_from_the_start_is_the_callers_room(held_back_ms: int) -> None:
    """Also where the network holds the first second back."""
    behind = loud(hold_music(12), -34)
    behind = with_words(behind, 5, "Good morning, are you open?")
    assert not [event for event in await heard(quiet(held_back_ms), behind) if isinstance(event, HoldBegan)]


async def test_music_softer_than_the_caller_is_in_the_room_also_when_it_is_turned_on_later() -> None:
    spoken = np.concatenate((words("Hold on, please."), quiet(1_500)))
    assert not [e for e in await heard(spoken, loud(hold_music(8), -34)) if isinstance(e, HoldBegan)]
    assert [e for e in await heard(spoken, loud(hold_music(8), -28)) if isinstance(e, HoldBegan)]


async def test_a_caller_who_speaks_over_music_has_it_in_the_room_and_is_not_waited_for_again() -> None:
    behind = loud(hold_music(20), -36)
    behind = with_words(behind, 6, "Hello, are you still there? I cannot hear you.")
    events = await heard(quiet(2_000), behind)
    assert len([event for event in events if isinstance(event, HoldBegan)]) == 1
    assert [type(event) for event in events][:3] == [HoldBegan, HoldEnded, SpeechStarted]


async def test_it_is_told_only_where_it_is_asked_for() -> None:
    detector, events = Detector(), list[Voiced]()
    ear = detector.ear(events.append)
    for part in (silence(2_000), pcm_of(hold_music(5))):
        for start in range(0, len(part), 160):
            ear.push(part[start : start + 160].tobytes(), RATE_HZ)
            await detector.settled()
    await detector.close()
    assert events == []
