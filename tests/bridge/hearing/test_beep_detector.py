"""A voicemail's beep is heard, and neither speech nor music is one. By the real detector's ear, through G.711."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.converse.line_conditions import at_level, music, pcm_of
from bridge.hearing.events import Beep, Voiced
from bridge.hearing.speech_gate import GateRules
from bridge.hearing.vad import Detector
from engine.audio import ulaw_encode
from engine.speech import Pcm
from tests.support.g711 import ulaw_decode
from tests.support.voices import caller_says, silence

RATE_HZ = 8_000


def beep(hz: float, ms: int) -> Pcm:
    at_s = np.arange(ms * RATE_HZ // 1000) / RATE_HZ
    return (np.sin(2 * np.pi * hz * at_s) * 6_000).astype(np.int16)


async def beeps(*parts: Pcm) -> list[Beep]:
    """What is heard of these sounds, one after the other."""
    pcm = ulaw_decode(ulaw_encode(np.concatenate(parts)))
    detector, events = Detector(), list[Voiced]()
    ear = detector.ear(events.append, rules=GateRules(tells_beeps=True))
    for start in range(0, len(pcm), 160):
        ear.push(pcm[start : start + 160].tobytes(), RATE_HZ)
        await detector.settled()
    await detector.close()
    return [event for event in events if isinstance(event, Beep)]


@pytest.mark.parametrize(("hz", "ms"), [(440, 400), (1_000, 200), (1_400, 1_000), (850, 500)])
async def test_a_beep_is_heard_when_it_is_over(hz: int, ms: int) -> None:
    said = caller_says("Please leave a message after the tone.")
    (heard,) = await beeps(said, silence(300), beep(hz, ms), silence(600))
    assert heard.audio_end_ms == pytest.approx(len(said) / 8 + 300 + ms, abs=70)


@pytest.mark.parametrize(
    "sound",
    [
        beep(440, 60),
        beep(440, 5_000),
        beep(425, 400) + beep(2_000, 400),
        caller_says("You have reached the office. We are closed now, please call us in the morning."),
        pcm_of(at_level(music(4 * RATE_HZ, RATE_HZ, np.random.default_rng(1)), RATE_HZ, -24)),
        (np.random.default_rng(1).standard_normal(RATE_HZ) * 3_000).astype(np.int16),
    ],
    ids=["a click", "a dial tone", "two notes", "speech", "music", "noise"],
)
async def test_other_sounds_are_no_beep(sound: Pcm) -> None:
    assert await beeps(silence(300), sound, silence(600)) == []
