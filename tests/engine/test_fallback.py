"""The engine that stands in for another."""

import asyncio

import numpy as np
import pytest

from engine.fallback import FallbackEngine
from engine.speech import EngineBusy, EngineNotReady, Priority, SpeechError, Style, Voice
from tests.support.fakes import FakeEngine


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
