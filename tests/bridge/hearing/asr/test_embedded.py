"""The embedded recogniser: on a caller's voice with real detector, Whisper and process, and without a model."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest

from bridge.hearing.asr.embedded import LONGEST_MS, MAX_JOBS, EmbeddedAsr
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from bridge.hearing.events import Heard, Hushed, Partial, SpeechStarted, SpeechStopped, Transcript
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


async def test_a_recogniser_that_hangs_is_not_fed_without_end(recognizer: RecognizerPool) -> None:
    heard: list[Heard] = []
    asr = EmbeddedAsr(recognizer, heard.append)  # `run` is not running: nothing is taken
    for number in range(50):
        asr._voice(SpeechStarted(number * 1_000))
        asr._voice(SpeechStopped(number * 1_000 + 900))
        assert asr._looks.qsize() <= MAX_JOBS
    given_up = [event for event in heard if isinstance(event, Transcript)]
    assert given_up == [Transcript("")] * (50 - MAX_JOBS), "whoever waits for their words is told that none come"


class Counting:
    """Stands in for the pool: the words of audio are the numbers in it, and it keeps what it was asked."""

    def __init__(self) -> None:
        self.detector = Mock()
        self.asked: list[tuple[str, bool]] = []

    async def transcribe(self, pcm: bytes, *, whole: bool = True) -> str:
        numbers = np.frombuffer(pcm, np.int16)
        text = " ".join(str(number) for number in dict.fromkeys(numbers[numbers != 0].tolist()))
        self.asked.append((text, whole))
        return text


def seconds(*numbers: int) -> bytes:
    """A second of audio for each number, in which it is the level; a tenth of a second of silence after each."""
    parts = [(np.full(14_400, number, np.int16), np.zeros(1_600, np.int16)) for number in numbers]
    return np.concatenate([piece for part in parts for piece in part]).tobytes()


async def settled(asr: EmbeddedAsr) -> None:
    """Recognises what is queued."""
    task = asyncio.create_task(asr.run())
    for _ in range(2 * MAX_JOBS):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_words_of_the_look_in_the_pause_are_final_at_once() -> None:
    heard: list[Heard] = []
    pool = Counting()
    asr = EmbeddedAsr(pool, heard.append)  # type: ignore[arg-type]
    asr._voice(SpeechStarted(0))
    asr.push(seconds(11, 12), 16_000)
    asr._hushed(Hushed(1_900))
    await settled(asr)
    assert heard[-1] == Partial("11 12"), "whoever wants to answer early knows the words"
    asked = len(pool.asked)
    asr._voice(SpeechStopped(1_900))
    assert heard[-1] == Transcript("11 12"), "nothing is recognised once more"
    assert len(pool.asked) == asked


async def test_a_pause_in_which_the_caller_goes_on_costs_no_words() -> None:
    heard: list[Heard] = []
    asr = EmbeddedAsr(Counting(), heard.append)  # type: ignore[arg-type]
    asr._voice(SpeechStarted(0))
    asr.push(seconds(11), 16_000)
    asr._hushed(Hushed(900))
    asr.push(seconds(12), 16_000)
    asr._voice(SpeechStopped(1_900))
    await settled(asr)
    assert heard[-1] == Transcript("11 12")


async def test_speech_longer_than_any_window_keeps_its_first_words() -> None:
    heard: list[Heard] = []
    pool = Counting()
    asr = EmbeddedAsr(pool, heard.append)  # type: ignore[arg-type]
    asr._voice(SpeechStarted(0))
    longest = 0
    for number in range(1, 71):
        asr.push(seconds(number), 16_000)
        longest = max(longest, len(asr._audio) // 32)
        await settled(asr)
    asr._voice(SpeechStopped(70_000))
    await settled(asr)
    assert heard[-1] == Transcript(" ".join(str(number) for number in range(1, 71)))
    assert longest <= LONGEST_MS + 1_000, "a look takes no longer than this"
    partials = [event.text for event in heard if isinstance(event, Partial)]
    assert all(later.startswith(sooner) for sooner, later in pairwise(partials))
