"""When a caller fell silent, to a few ms: where the detector still takes the line's noise for speech."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.hearing.events import SpeechPaused, SpeechStopped
from bridge.hearing.speech_gate import MOST_QUIET_MS, WINDOW_MS, GateRules, SpeechGate
from bridge.hearing.speech_tail import SpeechTail
from bridge.hearing.vad import Detector
from bridge.hearing.voice_model import RATE_HZ, WINDOW_SAMPLES
from tests.support.voices import caller_says, silence


def noise(samples: int, dbfs: float) -> np.ndarray:
    return (np.random.default_rng(3).standard_normal(samples) * 10 ** (dbfs / 20)).astype(np.float32)


def quiet_ms(tail: SpeechTail, sound: np.ndarray) -> int:
    """Returns what the tail tells after a sound."""
    *_, last = (tail.push(window) for window in sound.reshape(-1, WINDOW_SAMPLES))
    return last


def test_it_is_quiet_from_the_last_loud_piece_on() -> None:
    tail, sound = SpeechTail(), noise(10 * WINDOW_SAMPLES, -20)
    sound[-WINDOW_SAMPLES // 4 :] = 0
    assert quiet_ms(tail, sound) == WINDOW_MS // 4
    assert quiet_ms(tail, np.zeros(2 * WINDOW_SAMPLES, np.float32)) == WINDOW_MS // 4 + 2 * WINDOW_MS
    assert quiet_ms(tail, noise(WINDOW_SAMPLES, -20)) == 0


def test_what_is_40_db_softer_than_the_speech_is_quiet() -> None:
    tail = SpeechTail()
    quiet_ms(tail, noise(10 * WINDOW_SAMPLES, -70))
    quiet_ms(tail, noise(10 * WINDOW_SAMPLES, -20))
    assert quiet_ms(tail, noise(4 * WINDOW_SAMPLES, -40)) == 0
    assert quiet_ms(tail, noise(4 * WINDOW_SAMPLES, -60)) == 4 * WINDOW_MS


def test_the_noise_of_a_room_is_quiet_and_a_voice_above_it_is_not() -> None:
    tail = SpeechTail()
    quiet_ms(tail, noise(30 * WINDOW_SAMPLES, -35))
    assert quiet_ms(tail, noise(10 * WINDOW_SAMPLES, -20)) == 0
    assert quiet_ms(tail, noise(6 * WINDOW_SAMPLES, -35)) == 6 * WINDOW_MS


def test_after_nothing_at_all_a_noise_becomes_quiet_in_time() -> None:
    tail = SpeechTail()
    quiet_ms(tail, np.zeros(100 * WINDOW_SAMPLES, np.float32))
    quiet_ms(tail, noise(3_000 * WINDOW_SAMPLES, -40))
    quiet_ms(tail, noise(10 * WINDOW_SAMPLES, -20))
    assert quiet_ms(tail, noise(4 * WINDOW_SAMPLES, -40)) == 4 * WINDOW_MS


def test_a_silence_begins_when_it_became_quiet() -> None:
    gate = SpeechGate(GateRules(start_ms=WINDOW_MS, pause_ms=64, stop_ms=224))
    gate.push(0.9)
    assert gate.push(0.5, quiet_ms=20) is None
    assert gate.push(0.5, quiet_ms=52) is None, "the detector may be right"
    assert gate.push(0.1, quiet_ms=84) == SpeechPaused(4 * WINDOW_MS - 84)
    told = [gate.push(0.1, quiet_ms=84 + WINDOW_MS * windows) for windows in range(1, 6)]
    assert told == [None] * 4 + [SpeechStopped(4 * WINDOW_MS - 84)]


def test_a_silence_begins_a_little_earlier_at_most() -> None:
    gate = SpeechGate(GateRules(start_ms=WINDOW_MS, pause_ms=64, stop_ms=480))
    for _ in range(20):
        gate.push(0.9, quiet_ms=600)
    assert gate.push(0.1, quiet_ms=632) == SpeechPaused(20 * WINDOW_MS - MOST_QUIET_MS)


@pytest.mark.parametrize(
    "text", ["Around six in the evening.", "My order has not come yet.", "Is there parking near the hotel?"]
)
async def test_the_end_of_speech_is_known_to_40_ms_on_a_noisy_line(text: str) -> None:
    said = caller_says(text)
    track = np.concatenate((silence(1_000), said, silence(1_000)))
    track = (track + noise(len(track), -60) * 32768).astype(np.int16)
    detector, stopped = Detector(), []
    ear = detector.ear(lambda event: stopped.append(event) if isinstance(event, SpeechStopped) else None)
    for start in range(0, len(track), 160):
        ear.push(track[start : start + 160].tobytes(), RATE_HZ)
        await detector.settled()
    await detector.close()
    assert stopped[-1].audio_end_ms == pytest.approx(1_000 + len(said) * 1000 / RATE_HZ, abs=40)
