"""The embedded recogniser on a caller's voice: real detector, real Whisper, real process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest

from bridge.hearing.asr.embedded import MAX_JOBS, EmbeddedAsr, _Look, _Speech
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from bridge.hearing.events import Heard, Partial, SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped, Transcript
from bridge.hearing.speech_gate import GateRules
from bridge.hearing.vad import Detector
from bridge.turns.words import words
from tests.support.voices import caller_says, silence

pytest.importorskip("faster_whisper")


@pytest.fixture
async def recognizer() -> AsyncIterator[RecognizerPool]:
    recognizer = RecognizerPool("whisper")
    await recognizer.start()
    yield recognizer
    await recognizer.close()


async def listen(recognizer: RecognizerPool, text: str, *, partial: bool = True) -> list[Heard]:
    """Returns the events that `text` causes, up to its transcript, when it is said faster than in real time."""
    heard: list[Heard] = []
    some, done = asyncio.Event(), asyncio.Event()

    def on_heard(event: Heard) -> None:
        heard.append(event)
        if isinstance(event, Partial | Transcript):
            some.set()
        if isinstance(event, Transcript):
            done.set()

    asr = EmbeddedAsr(recognizer, on_heard)
    task = asyncio.create_task(asr.run())
    track = np.concatenate((silence(500), caller_says(text), silence(1000)))
    for start in range(0, len(track), 160):
        asr.push(track[start : start + 160].tobytes(), 8_000)
        await recognizer.detector.settled()
        if partial and start == 8_000 * 2 // 160 * 160:  # well within the sentence
            await some.wait()
    await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return heard


async def test_a_sentence_is_heard_and_so_is_the_next_after_the_worker_died(recognizer: RecognizerPool) -> None:
    text = "I would like to speak to the sales department."
    heard = await listen(recognizer, text)
    assert isinstance(heard[0], SpeechStarted)
    assert any(isinstance(event, Partial) for event in heard), "words are told while the caller speaks"
    assert any(isinstance(event, SpeechStopped) for event in heard)
    transcript = heard[-1]
    assert isinstance(transcript, Transcript)
    assert words(transcript.text) == words(text)

    transcribe = recognizer.transcribe
    recognizer.transcribe = AsyncMock(side_effect=RuntimeError("a fault of the model"))  # type: ignore[method-assign]
    assert (await listen(recognizer, text, partial=False))[-1] == Transcript("")
    recognizer.transcribe = transcribe  # type: ignore[method-assign]

    pid = recognizer.processes[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert (await listen(recognizer, text, partial=False))[-1] == transcript


class CountingPool:
    """A recogniser whose words are the seconds that it is given: second 7 is full of the sample 1007."""

    def __init__(self) -> None:
        self.detector = Detector()
        self.longest_s = 0.0

    async def transcribe(self, pcm: bytes, *, whole: bool = True) -> str:
        self.longest_s = max(self.longest_s, len(pcm) / 32_000)
        samples = np.frombuffer(pcm, np.int16)
        seconds, counts = np.unique(samples[samples > 0] - 1_000, return_counts=True)
        return " ".join(str(second) for second, count in zip(seconds, counts, strict=True) if count > 6_000)


@pytest.mark.parametrize("length_s", [29, 95])
async def test_speech_of_any_length_is_recognised_whole(length_s: int) -> None:
    heard: list[Heard] = []
    told = asyncio.Event()
    pool = CountingPool()

    def on_heard(event: Heard) -> None:
        heard.append(event)
        told.set()

    asr = EmbeddedAsr(pool, on_heard)  # type: ignore[arg-type]
    asr._ear.close()
    task = asyncio.create_task(asr.run())
    for second in range(length_s):
        audio = np.full(16_000, 1_000 + second, np.int16)
        audio[12_500:] = 0  # the caller takes a breath
        for start in range(0, 16_000, 3_200):
            asr.push(audio[start : start + 3_200].tobytes(), 16_000)
            if second == start == 0:
                asr._voice(SpeechStarted(0))
            for _ in range(5):  # what was asked is answered at once
                await asyncio.sleep(0)
    asr._voice(SpeechStopped(length_s * 1_000 - 200))
    while not isinstance(heard[-1], Transcript):
        told.clear()
        await told.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    everything = " ".join(str(second) for second in range(length_s))
    assert heard[-1] == Transcript(everything)
    partial = [event.text for event in heard if isinstance(event, Partial)]
    assert all(everything.startswith(text) for text in partial), "no word is told twice or taken back"
    assert pool.longest_s <= 15.7
    await pool.detector.close()


async def test_a_short_silence_is_looked_at_at_once_and_makes_the_final_words() -> None:
    heard: list[Heard] = []
    pool = CountingPool()
    asr = EmbeddedAsr(pool, heard.append, rules=GateRules(pause_ms=96))  # type: ignore[arg-type]
    asr._ear.close()
    task = asyncio.create_task(asr.run())
    asr._voice(SpeechStarted(0))
    asr.push(np.full(8_000, 1_007, np.int16).tobytes(), 16_000)  # too short to be looked at while it goes on
    asr.push(bytes(3_200), 16_000)
    asr._voice(SpeechPaused(500))
    for _ in range(5):
        await asyncio.sleep(0)
    assert heard == [SpeechStarted(0), Partial("7"), SpeechPaused(500)]
    asr.push(bytes(12_800), 16_000)
    asr._voice(SpeechStopped(500))
    assert heard[3:] == [SpeechStopped(500), Transcript("7")], "there is nothing left to recognise"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pool.detector.close()


async def test_words_do_not_change_while_the_caller_is_silent() -> None:
    heard: list[Heard] = []
    pool = CountingPool()
    asr = EmbeddedAsr(pool, heard.append, rules=GateRules(pause_ms=96))  # type: ignore[arg-type]
    asr._ear.close()
    task = asyncio.create_task(asr.run())

    async def says(number: int, ms: int) -> None:
        for _ in range(ms // 100):
            asr.push(np.full(1_600, 1_000 + number if number else 0, np.int16).tobytes(), 16_000)
            for _ in range(5):  # what was asked is answered at once
                await asyncio.sleep(0)

    asr._voice(SpeechStarted(0))
    await says(7, 400)
    await says(0, 100)
    asr._voice(SpeechPaused(400))
    await says(0, 1_500)
    told = [event for event in heard if isinstance(event, Partial)]
    assert told == [Partial("7")], "an answer that was begun is not dropped over another reading of the same words"
    asr._voice(SpeechResumed())
    await says(8, 1_000)
    assert heard[-1] == Partial("7 8"), "they are heard as soon as ever once they go on"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pool.detector.close()


async def test_a_recogniser_that_hangs_is_not_fed_without_end(recognizer: RecognizerPool) -> None:
    heard: list[Heard] = []
    asr = EmbeddedAsr(recognizer, heard.append)  # `run` is not running: nothing is taken
    for number in range(50):
        asr._voice(SpeechStarted(number * 1_000))
        asr._voice(SpeechStopped(number * 1_000 + 900))
        assert asr._looks.qsize() <= MAX_JOBS
    given_up = [event for event in heard if isinstance(event, Transcript)]
    assert given_up == [Transcript("")] * (50 - MAX_JOBS), "whoever waits for their words is told that none come"


async def test_it_asks_the_pool_of_the_language_that_is_spoken_now() -> None:
    english, german = Mock(spec=RecognizerPool), Mock(spec=RecognizerPool)
    for pool, text in ((english, "Hello."), (german, "Hallo.")):
        pool.detector = Mock()
        pool.transcribe = AsyncMock(return_value=text)
    asr = EmbeddedAsr(english, lambda heard: None, pools={"de": german}.get)
    look = _Look(_Speech(), b"", 0)
    assert await asr._words(look) == "Hello."
    asr.listen_in("de")
    assert await asr._words(look) == "Hallo."
    asr.listen_in("fr")
    assert await asr._words(look) == "Hallo.", "there is no pool for French"
