"""The model of the end of a turn, where it is installed, and how the embedded recogniser uses it."""

from __future__ import annotations

import asyncio
from statistics import median
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest

from bridge.hearing import smart_turn
from bridge.hearing.asr.embedded import UNSURE_MS, EmbeddedAsr
from bridge.hearing.events import (
    Heard,
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from bridge.hearing.smart_turn import INSTALL, SmartTurn, features, weights
from bridge.hearing.speech_gate import GateRules
from bridge.turns.end_of_turn import EndOfTurn
from tests.support.voices import caller_says, silence

RULES = EndOfTurn(silence_ms=480, quick_ms=224, patience_ms=1_000)


@pytest.mark.parametrize(
    ("text", "judged", "wait_ms"),
    [
        ("That is all.", 0.9, 224),
        ("That is all.", 0.1, 1_000),
        ("That is a", 0.9, 1_000),
        ("That is all.", RuntimeError("a fault of the model"), 480),
    ],
)
async def test_in_a_pause_words_and_sound_decide_how_long_it_may_last(
    text: str, judged: float | Exception, wait_ms: int
) -> None:
    pool, model = Mock(transcribe=AsyncMock(return_value=text)), Mock()
    model.probability = AsyncMock(side_effect=[judged])
    asr = EmbeddedAsr(pool, lambda _: None, end_of_turn=RULES, smart_turn=model)
    asr._voice(SpeechStarted(0))
    asr.push(bytes(16_000), 16_000)
    asr._voice(SpeechPaused(900))
    await asr._recognise(asr._looks.get_nowait())
    pool.detector.ear.return_value.end_after.assert_called_once_with(wait_ms, 900)
    assert pool.detector.ear.call_args.kwargs["rules"].stop_ms == 1_000


async def test_a_look_that_comes_late_ends_the_turn_with_its_own_words_and_nothing_follows_them() -> None:
    heard: list[Heard] = []
    pool = Mock(transcribe=AsyncMock(return_value="That is all."))
    judge = Mock(probability=AsyncMock(return_value=0.9))
    asr = EmbeddedAsr(pool, heard.append, rules=GateRules(pause_ms=64), end_of_turn=RULES, smart_turn=judge)
    asr._voice(SpeechStarted(0))
    asr.push(bytes(16_000), 16_000)
    asr._voice(SpeechPaused(400))
    pool.detector.ear.return_value.end_after = lambda wait_ms, paused_ms: asr._voice(SpeechStopped(paused_ms))
    await asr._recognise(asr._looks.get_nowait())
    said = "That is all."
    assert heard == [SpeechStarted(0), Partial(said), SpeechPaused(400), SpeechStopped(400), Transcript(said)]


async def test_a_pause_in_an_unfinished_sentence_is_told_only_when_it_lasts() -> None:
    heard: list[Heard] = []
    pool = Mock(transcribe=AsyncMock(return_value="a table for"))
    judge = Mock(probability=AsyncMock(return_value=0.9))
    asr = EmbeddedAsr(pool, heard.append, rules=GateRules(pause_ms=64), smart_turn=judge)
    asr._voice(SpeechStarted(0))
    asr.push(bytes(16_000 + 2_048), 16_000)
    asr._voice(SpeechPaused(500))
    await asr._recognise(asr._looks.get_nowait())
    asr.push(bytes(32 * (UNSURE_MS - 64 - 20)), 16_000)
    assert heard == [SpeechStarted(0), Partial("a table for")], "an answer begun now would be wasted"
    asr.push(bytes(640), 16_000)
    assert heard[2:] == [SpeechPaused(500)]
    asr.push(bytes(640), 16_000)
    assert len(heard) == 3


async def test_an_answer_to_a_whole_sentence_can_begin_before_its_sound_is_judged() -> None:
    heard: list[Heard] = []
    judged, paused = asyncio.Event(), asyncio.Event()

    async def judge(_: bytes) -> float:
        await judged.wait()
        return 0.9

    def hear(event: Heard) -> None:
        heard.append(event)
        if isinstance(event, SpeechPaused):
            paused.set()

    pool = Mock(transcribe=AsyncMock(return_value="That is all."))
    asr = EmbeddedAsr(pool, hear, rules=GateRules(pause_ms=64), end_of_turn=RULES, smart_turn=Mock(probability=judge))
    asr._voice(SpeechStarted(0))
    asr.push(bytes(16_000), 16_000)
    asr._voice(SpeechPaused(500))
    recognising = asyncio.create_task(asr._recognise(asr._looks.get_nowait()))
    await paused.wait()
    assert heard == [SpeechStarted(0), Partial("That is all."), SpeechPaused(500)]
    pool.detector.ear.return_value.end_after.assert_not_called()
    judged.set()
    await recognising
    pool.detector.ear.return_value.end_after.assert_called_once_with(RULES.quick_ms, 500)


async def test_a_caller_who_goes_on_in_an_unfinished_sentence_is_not_told_to_have_paused() -> None:
    heard: list[Heard] = []
    pool = Mock(transcribe=AsyncMock(return_value="a table for"))
    asr = EmbeddedAsr(
        pool,
        heard.append,
        rules=GateRules(pause_ms=64),
        smart_turn=Mock(probability=AsyncMock(return_value=0.1)),
    )
    asr._voice(SpeechStarted(0))
    asr.push(bytes(16_000), 16_000)
    asr._voice(SpeechPaused(400))
    await asr._recognise(asr._looks.get_nowait())
    asr._voice(SpeechResumed())
    asr.push(bytes(32_000), 16_000)
    assert [event for event in heard if isinstance(event, SpeechPaused)] == []


def test_features_are_whispers() -> None:
    seconds = np.arange(16_000 * 8) / 16_000
    seen = features((np.sin(2 * np.pi * 1_000 * seconds) * 8_000).astype(np.int16).tobytes())
    assert seen.shape == (80, 800)
    assert seen[:, 400].argmax() == 26, "1 kHz is mel 15 of 45.25 on Slaney's scale, in 81 steps"
    assert float(seen.max() - seen.min()) == pytest.approx(2.0), "80 dB are kept"


@pytest.mark.parametrize("samples", [0, 1, 150, 1_000, 30_000, 127_700, 127_900, 128_000, 200_000])
def test_of_audio_of_any_length_the_features_are_those_of_its_last_8_s(samples: int) -> None:
    """What lies before a short one is not worked out, and has to look as if it were."""
    pcm = (np.random.default_rng(5).standard_normal(samples) * 3_000).astype(np.int16)
    whole = np.concatenate((np.zeros(128_000, np.int16), pcm))[-128_000:]
    np.testing.assert_allclose(features(pcm.tobytes()), features(whole.tobytes()), atol=1e-5)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_turn, "weights", lambda: None)
    with pytest.raises(OSError, match=INSTALL):
        SmartTurn()


@pytest.mark.skipif(weights() is None, reason=INSTALL)
async def test_callers_are_judged_together_and_an_unfinished_sentence_sounds_so() -> None:
    model = SmartTurn()
    # The caller's voice sounds a little different each time, and now and then one sounds undecided.
    spoken = [caller_says.__wrapped__("I would like to book a table for four people.", 16_000) for _ in range(5)]
    pause = silence(160, 16_000)
    wholes = [np.concatenate((pcm, pause)).tobytes() for pcm in spoken]
    halves = [np.concatenate((pcm[: len(pcm) // 2], pause)).tobytes() for pcm in spoken]
    nothing, *judged = await asyncio.gather(*(model.probability(pcm) for pcm in (b"", *wholes, *halves)))
    assert median(judged[5:]) < 0.5 < median(judged[:5])
    assert 0 <= nothing <= 1
    await model.close()


@pytest.mark.skipif(weights() is None, reason=INSTALL)
async def test_a_fault_of_the_model_reaches_all_who_ask_and_the_next_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = SmartTurn()
    with monkeypatch.context() as broken:
        broken.setattr(model, "_session", Mock(run=Mock(side_effect=RuntimeError("a fault"))))
        answers = await asyncio.gather(*(model.probability(b"") for _ in range(6)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["a fault"] * 6
    assert 0 <= await model.probability(b"") <= 1
    await model.close()
