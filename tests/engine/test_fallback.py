"""The engine that stands in for another."""

import asyncio

import numpy as np
import pytest

from engine.audio import resample
from engine.fallback import FallbackEngine
from engine.speech import EngineBusy, EngineNotReady, Priority, SpeechError, Style, Voice
from tests.support.fakes import LETTER_SAMPLES, LEVEL, FakeEngine


class Main(FakeEngine):
    """Fails to start, at its first chunk, or after it."""

    name = "main"

    def __init__(self, *, starts=True, fails_at=None):
        super().__init__()
        self.starts, self.fails_at = starts, fails_at

    async def start(self):
        if not self.starts:
            raise SpeechError("no CUDA here")

    async def stream(self, sentence, style):
        index = 0
        async for pcm in super().stream(sentence, style):
            if index == self.fails_at:
                raise SpeechError("GPU fault")
            index += 1
            yield -pcm


async def hear(engine, style):
    """Which of the two spoke: main's samples are negative, the spare's positive."""
    pcm = np.concatenate([pcm async for pcm in engine.stream("Hello.", style)])
    return "main" if (pcm < 0).all() else "spare" if (pcm > 0).all() else "both"


async def started(main, **kwargs):
    engine = FallbackEngine(main, FakeEngine(), **kwargs)
    await engine.start()
    return engine


async def test_main_speaks_while_it_can():
    assert await hear(await started(Main()), Style()) == "main"


async def test_the_spare_speaks_for_a_main_that_did_not_start_and_health_says_so():
    engine = await started(Main(starts=False), optional=True)
    assert await hear(engine, Style(priority=Priority.HTTP)) == "spare"
    assert engine.name == "fake"
    assert "no CUDA here" in engine.status().warnings[0]


async def test_a_main_that_was_asked_for_and_does_not_start_stops_the_start():
    with pytest.raises(SpeechError, match="no CUDA here"):
        await started(Main(starts=False))


class Late(Main):
    """Starts, and can speak only once somebody has come."""

    takes_ipa = True
    come = False

    async def start(self):
        raise EngineNotReady("nobody is there yet", 1)

    def voices(self):
        return [Voice("late", "Late", ("*",))] if self.come else []

    async def stream(self, sentence, style):
        if not self.come:
            raise EngineNotReady("nobody is there yet", 1)
        async for pcm in super().stream(sentence, style):
            yield pcm


async def test_a_main_that_comes_later_stops_no_start_and_speaks_once_it_is_there():
    main = Late()
    engine = await started(main)
    assert [voice.id for voice in engine.voices()] == [voice.id for voice in FakeEngine().voices()]
    assert not engine.takes_ipa
    assert await hear(engine, Style()) == "spare"
    with pytest.raises(EngineNotReady):
        await hear(engine, Style(priority=Priority.HTTP))
    main.come = True
    assert [voice.id for voice in engine.voices()] == ["late"]
    assert engine.takes_ipa
    assert await hear(engine, Style()) == "main"


async def test_a_caller_hears_the_spare_when_main_fails():
    engine = await started(Main(fails_at=0))
    assert await hear(engine, Style()) == "spare"
    assert engine.status().sentences_by_spare == 1


async def test_an_http_request_gets_the_error():
    engine = await started(Main(fails_at=0))
    with pytest.raises(SpeechError, match="GPU fault"):
        await hear(engine, Style(priority=Priority.HTTP))


async def test_a_main_that_is_full_leaves_a_call_to_the_spare_and_tells_http():
    main = Main()
    engine = await started(main)
    main.busy = 2
    assert await hear(engine, Style()) == "spare"
    with pytest.raises(EngineBusy):
        await hear(engine, Style(priority=Priority.HTTP))
    assert await hear(engine, Style()) == "main"


async def test_no_sentence_is_begun_twice():
    engine = await started(Main(fails_at=2))
    with pytest.raises(SpeechError, match="GPU fault"):
        await hear(engine, Style())


async def test_closing_the_stream_closes_the_engine_behind_it():
    main = Main()
    main.gate.clear()
    engine = await started(main)
    stream = engine.stream("Hello.", Style())
    waiting = asyncio.create_task(anext(stream))
    for _ in range(10):
        await asyncio.sleep(0)
    assert main.streams == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await stream.aclose()
    assert main.streams == 0


class Narrow(Main):
    """Speaks at a telephone's rate too."""

    other_rates_hz = (8_000,)


class Worded(FakeEngine):
    """Tells that its second word begins after 0.3 s."""

    async def stream(self, sentence, style):
        style.on_word_starts([0, 7_200])
        async for pcm in super().stream(sentence, style):
            yield pcm


async def test_at_the_rate_that_main_was_asked_for_the_spare_speaks_too():
    """In the middle of what is said one sentence comes from main, the next one from the spare."""
    main, starts = Narrow(), []
    engine = FallbackEngine(main, Worded())
    await engine.start()
    style = Style(sample_rate_hz=8_000, on_word_starts=starts.extend)
    assert engine.rate_hz(style) == 8_000
    of_main = np.concatenate([pcm async for pcm in engine.stream("Hello.", style)])
    main.fails_at = 0
    of_spare = np.concatenate([pcm async for pcm in engine.stream("Hello.", style)])
    assert (of_main < 0).all()
    assert of_main.size == of_spare.size == 6 * LETTER_SAMPLES // 3
    np.testing.assert_array_equal(of_spare, resample(np.full(6 * LETTER_SAMPLES, LEVEL, np.int16), 24_000, 8_000))
    assert starts == [0, 2_400]


async def test_a_spare_that_stands_for_a_main_that_did_not_start_speaks_at_its_own_rate():
    engine = FallbackEngine(Narrow(starts=False), FakeEngine(), optional=True)
    await engine.start()
    style = Style(sample_rate_hz=8_000)
    assert engine.rate_hz(style) == 24_000
    assert sum([pcm.size async for pcm in engine.stream("Hello.", style)]) == 6 * LETTER_SAMPLES
