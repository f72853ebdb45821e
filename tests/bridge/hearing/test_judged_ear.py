"""A service that does not tell when speech stops: its caller's pauses are judged here, by words and sound."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest

from bridge.hearing.events import (
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Voiced,
)
from bridge.hearing.judged_ear import JudgedEar
from bridge.hearing.smart_turn import RATE_HZ, SECONDS
from bridge.hearing.speech_gate import GateRules
from bridge.turns.end_of_turn import EndOfTurn

RULES = EndOfTurn(silence_ms=480, quick_ms=224, patience_ms=900)


class Rig:
    """An ear whose detector and model do what the test says."""

    def __init__(self, judged: float | Exception = 0.9) -> None:
        self.detector, self.told = Mock(), list[Voiced]()
        self.model = Mock(probability=AsyncMock(side_effect=[judged] * 9))
        self.detector.ear.return_value.beside = False
        self.flush = Mock()
        self.ear = JudgedEar(
            self.detector,
            self.told.append,
            lambda: False,
            lambda: True,
            GateRules(),
            RULES,
            self.model,
            flush=self.flush,
        )

    def hears_beside(self, beside: bool) -> None:
        self.detector.ear.return_value.beside = beside
        self.ear.push(bytes(320), 8_000)

    async def pause(self, at_ms: int) -> None:
        self.ear._voice(SpeechPaused(at_ms))
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def ends(self) -> list[tuple[int, int]]:
        return [call.args for call in self.detector.ear.return_value.end_after.call_args_list]


@pytest.mark.parametrize(
    ("text", "judged", "wait_ms"),
    [
        ("That is all.", 0.9, 224),
        ("That is all.", 0.1, 900),
        ("That is a", 0.9, 900),
        ("", 0.9, 480),
        ("That is all.", RuntimeError("a fault of the model"), 480),
    ],
)
async def test_words_and_sound_decide_how_long_a_pause_may_last(
    text: str, judged: float | Exception, wait_ms: int
) -> None:
    rig = Rig(judged)
    rig.ear.heard(Partial(text))
    await rig.pause(800)
    assert rig.ends == [(wait_ms, 800)]
    assert rig.detector.ear.call_args.kwargs["rules"].stop_ms == 900, "so long a silence ends any turn"


async def test_words_that_come_late_in_the_pause_count() -> None:
    rig = Rig()
    await rig.pause(800)
    rig.ear.heard(Partial("I would like a"))
    rig.ear.heard(Partial("I would like a pizza."))
    assert rig.ends == [(480, 800), (900, 800), (224, 800)]
    rig.ear._voice(SpeechResumed())
    rig.ear.heard(Partial("I would like a pizza. And"))
    assert len(rig.ends) == 3, "the pause is over"


async def test_words_of_the_turn_before_do_not_count() -> None:
    rig = Rig()
    rig.ear.heard(Partial("Good morning."))
    rig.ear._voice(SpeechStopped(900))
    rig.ear.heard(Transcript("Good morning."))
    await rig.pause(2_000)
    assert rig.ends == [(480, 2_000)]


async def test_words_of_somebody_beside_the_caller_are_kept_from_the_conversation() -> None:
    rig = Rig()
    rig.hears_beside(True)
    assert not rig.ear.heard(Partial("Dinner is ready"))
    rig.flush.assert_not_called()
    rig.hears_beside(False)
    rig.hears_beside(False)
    rig.flush.assert_called_once_with()
    assert not rig.ear.heard(Partial("Dinner is ready in five minutes."))
    assert not rig.ear.heard(Transcript("Dinner is ready in five minutes."))
    assert rig.ear.heard(Partial("Is it far?"))


async def test_a_caller_is_heard_although_the_words_of_the_other_never_came() -> None:
    rig = Rig()
    rig.hears_beside(True)
    rig.hears_beside(False)
    rig.ear._voice(SpeechStarted(3_000))
    assert rig.ear.heard(Partial("Is it far?"))


async def test_the_model_gets_its_eight_seconds_and_no_more_is_kept() -> None:
    rig = Rig()
    for _ in range(30 * 50):
        rig.ear.push(bytes(RATE_HZ // 50 * 2), RATE_HZ)
    await rig.pause(800)
    assert len(rig.model.probability.call_args.args[0]) == SECONDS * RATE_HZ * 2
    assert len(rig.ear._audio) <= 2 * SECONDS * RATE_HZ * 2


async def test_an_ear_that_is_closed_judges_nothing() -> None:
    rig = Rig()
    rig.ear._voice(SpeechPaused(800))
    rig.ear.close()
    await asyncio.sleep(0)
    assert rig.ends == []
