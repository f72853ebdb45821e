"""The voice activity detector: its gate to the window, and its model on a voice and on noises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from unittest.mock import Mock

import numpy as np
import pytest

from bridge.hearing import vad
from bridge.hearing.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped
from bridge.hearing.speech_gate import WINDOW_MS, GateRules, SpeechGate
from bridge.hearing.vad import FEW_EARS, MAX_WINDOWS_WAITING, Detector, Ear
from bridge.hearing.voice_model import RATE_HZ, WINDOW_SAMPLES, Floats, Memory, VoiceModel
from engine.speech import Pcm
from tests.support.voices import caller_says, silence

VoiceEvent = SpeechStarted | SpeechStopped


def test_two_windows_make_a_start_and_fifteen_an_end() -> None:
    gate = SpeechGate(GateRules(start_ms=2 * WINDOW_MS, stop_ms=15 * WINDOW_MS))
    assert gate.push(0.9) is None
    assert gate.push(0.1) is None
    assert gate.push(0.9) is None
    assert gate.push(0.9) == SpeechStarted(2 * WINDOW_MS)
    for _ in range(14):
        assert gate.push(0.1) is None
    assert gate.push(0.1) == SpeechStopped(4 * WINDOW_MS)


@pytest.mark.parametrize(
    ("probability", "level_dbfs", "agent_speaks", "may_echo"),
    [(0.7, -20.0, True, False), (0.9, -35.0, True, False), (0.9, -20.0, False, False), (0.9, -20.0, True, True)],
)
def test_one_window_interrupts_the_agent_if_it_is_surely_speech_and_loud_and_no_echo(
    probability: float, level_dbfs: float, agent_speaks: bool, may_echo: bool
) -> None:
    gate = SpeechGate(GateRules())
    assert gate.push(probability, level_dbfs, agent_speaks=agent_speaks, may_echo=may_echo) is None
    assert SpeechGate(GateRules()).push(0.9, -20.0, agent_speaks=True, may_echo=False) == SpeechStarted(0)


def test_a_short_silence_is_told_once_and_so_is_that_speech_goes_on() -> None:
    gate = SpeechGate(GateRules(start_ms=WINDOW_MS, stop_ms=8 * WINDOW_MS, pause_ms=3 * WINDOW_MS))
    assert gate.push(0.9) == SpeechStarted(0)
    for _ in range(2):
        assert [gate.push(0.1) for _ in range(2)] == [None, None]
        assert gate.push(0.1) == SpeechPaused(gate.at_ms - 3 * WINDOW_MS)
        assert gate.push(0.1) is None
        assert gate.push(0.9) == SpeechResumed()
        assert gate.push(0.9) is None
    told = [gate.push(0.1) for _ in range(8)]
    assert told[2] == SpeechPaused(gate.at_ms - 8 * WINDOW_MS)
    assert told[7] == SpeechStopped(gate.at_ms - 8 * WINDOW_MS)
    assert gate.push(0.9) == SpeechStarted(gate.at_ms - WINDOW_MS)


def speaking(rules: GateRules) -> SpeechGate:
    gate = SpeechGate(rules)
    assert isinstance(gate.push(0.9), SpeechStarted)
    return gate


RULES = GateRules(start_ms=WINDOW_MS, pause_ms=4 * WINDOW_MS, stop_ms=15 * WINDOW_MS)


def test_in_a_pause_the_end_may_be_brought_forward_or_put_off() -> None:
    for windows in (6, 30):
        gate = speaking(RULES)
        *_, paused = [gate.push(0.1) for _ in range(4)]
        assert paused == SpeechPaused(WINDOW_MS)
        gate.end_after(windows * WINDOW_MS, WINDOW_MS)
        assert [gate.push(0.1) for _ in range(windows - 5)] == [None] * (windows - 5)
        assert gate.push(0.1) == SpeechStopped(WINDOW_MS)


def test_what_was_found_of_one_pause_does_not_hold_for_the_next() -> None:
    gate = speaking(RULES)
    assert SpeechPaused(WINDOW_MS) in [gate.push(0.1) for _ in range(4)]
    gate.end_after(5 * WINDOW_MS, WINDOW_MS)
    gate.push(0.9)
    assert not any(isinstance(gate.push(0.1), SpeechStopped) for _ in range(14))
    gate.end_after(5 * WINDOW_MS, WINDOW_MS)  # it comes late
    assert isinstance(gate.push(0.1), SpeechStopped)


def test_a_silence_that_has_lasted_long_enough_ends_at_once_and_not_with_the_next_window() -> None:
    gate = speaking(RULES)
    assert SpeechPaused(WINDOW_MS) in [gate.push(0.1) for _ in range(7)]
    assert gate.end_after(8 * WINDOW_MS, WINDOW_MS) is None
    assert gate.end_after(7 * WINDOW_MS, WINDOW_MS) == SpeechStopped(WINDOW_MS)
    assert gate.end_after(7 * WINDOW_MS, WINDOW_MS) is None, "it is told once"
    assert gate.push(0.1) is None
    assert isinstance(gate.push(0.9), SpeechStarted)


def test_between_the_thresholds_speech_goes_on_but_does_not_start() -> None:
    gate = SpeechGate(GateRules(start_ms=WINDOW_MS, stop_ms=WINDOW_MS))
    assert gate.push(0.45) is None
    assert isinstance(gate.push(0.6), SpeechStarted)
    assert gate.push(0.45) is None
    assert isinstance(gate.push(0.2), SpeechStopped)


def test_quiet_sound_is_an_echo_while_the_agent_speaks() -> None:
    gate = SpeechGate(GateRules(start_ms=WINDOW_MS, min_level_dbfs=-40))
    assert gate.push(0.9, -50, agent_speaks=True) is None
    assert isinstance(gate.push(0.9, -30, agent_speaks=True), SpeechStarted)


def test_what_was_not_judged_took_its_time_all_the_same() -> None:
    heard: list[VoiceEvent] = []
    ear = Ear(Mock(), heard.append, lambda: False, lambda: True, GateRules(start_ms=WINDOW_MS))
    ear.push(bytes((MAX_WINDOWS_WAITING + 10) * WINDOW_SAMPLES * 2), RATE_HZ)
    ear.judge(ear.windows.popleft(), 0.9)
    assert heard == [SpeechStarted(10 * WINDOW_MS)]


async def hear(*tracks: Pcm) -> list[list[VoiceEvent]]:
    """Returns the events of each track, all of them judged at once."""
    detector = Detector()
    heard: list[list[VoiceEvent]] = [[] for _ in tracks]
    ears = [detector.ear(events.append) for events in heard]
    for start in range(0, max(len(track) for track in tracks), 160):
        for ear, track in zip(ears, tracks, strict=True):
            ear.push(track[start : start + 160].tobytes(), 8_000)
        await detector.settled()
    await detector.close()
    return heard


class CountingModel(VoiceModel):
    """Hears speech in every window, and counts its runs."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def judge(self, windows: Sequence[Floats], _: Sequence[Memory]) -> list[float]:
        self.batches.append(len(windows))
        return [1.0] * len(windows)


async def hear_one_after_another(ears: int) -> tuple[CountingModel, list[VoiceEvent]]:
    """Gives each of so many ears two windows of sound, in a turn of the loop of its own."""
    detector, model, heard = Detector(), CountingModel(), list[VoiceEvent]()
    detector.model = model
    listening = [detector.ear(heard.append, rules=GateRules(start_ms=2 * WINDOW_MS)) for _ in range(ears)]
    for _ in range(2):
        for ear in listening:
            ear.push(bytes(2 * WINDOW_SAMPLES), RATE_HZ)
            await asyncio.sleep(0)
        await detector.settled()
    await detector.close()
    return model, heard


async def test_with_many_ears_the_windows_that_come_soon_after_one_another_are_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vad, "COLLECT_S", 1.0)
    model, heard = await hear_one_after_another(FEW_EARS + 1)
    assert model.batches == [FEW_EARS + 1] * 2
    assert heard == [SpeechStarted(0)] * (FEW_EARS + 1)


async def test_a_few_ears_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "COLLECT_S", 1_000.0)
    async with asyncio.timeout(60):
        _, heard = await hear_one_after_another(FEW_EARS)
    assert heard == [SpeechStarted(0)] * FEW_EARS


async def test_ears_of_calls_that_are_over_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "COLLECT_S", 1_000.0)
    detector, heard = Detector(), list[VoiceEvent]()
    detector.model = CountingModel()
    over = [detector.ear(heard.append) for _ in range(FEW_EARS)]
    for ear in over:
        ear.close()
    ear = detector.ear(heard.append, rules=GateRules(start_ms=WINDOW_MS))
    ear.push(bytes(2 * WINDOW_SAMPLES), RATE_HZ)
    async with asyncio.timeout(60):
        await detector.settled()
    await detector.close()
    assert heard == [SpeechStarted(0)]


async def test_a_voice_is_heard_within_160_ms_of_its_onset_and_so_is_its_end() -> None:
    said = caller_says("I would like to book a table, please.")
    track = np.concatenate((silence(1000), said, silence(1500)))
    quiet = np.zeros(len(track), np.int16)
    (started, *_, stopped), nothing = await hear(track, quiet)
    assert isinstance(started, SpeechStarted)
    assert started.audio_start_ms is not None
    assert 900 <= started.audio_start_ms <= 1160
    assert isinstance(stopped, SpeechStopped)
    assert stopped.audio_end_ms == pytest.approx(1000 + len(said) / 8, abs=250)
    assert nothing == []


@pytest.mark.parametrize("listens_ms", [1_000, 4_000, 20_000])
async def test_however_long_callers_have_listened_they_are_heard_as_soon(listens_ms: int) -> None:
    before, said = caller_says("Tell me about the house."), caller_says("Hello?")
    listens = np.random.default_rng(1).normal(0, 3, 8 * listens_ms).astype(np.int16)
    (_, _, started, *_), *_ = await hear(np.concatenate((silence(200), before, listens, said, silence(500))))
    assert isinstance(started, SpeechStarted)
    assert started.audio_start_ms is not None
    assert started.audio_start_ms - 200 - len(before) / 8 - listens_ms < 130


async def test_noises_are_no_speech() -> None:
    random = np.random.default_rng(1)
    seconds = np.arange(8_000 * 2) / 8_000
    noise = (random.standard_normal(len(seconds)) * 1000).astype(np.int16)
    tone = (np.sin(2 * np.pi * 425 * seconds) * 8000).astype(np.int16)
    clicks = np.zeros(len(seconds), np.int16)
    clicks[::4000] = 20_000
    assert await hear(noise, tone, clicks) == [[], [], []]
