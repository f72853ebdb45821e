"""The apology: made before it is needed, without loading what is to be loaded later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from bridge.app import App
from bridge.config import Settings
from bridge.line import apology as module
from bridge.line.apology import Apology
from engine.fallback import FallbackEngine
from engine.speech import Pcm, Style, UnspeakableText
from engine.status import EngineStatus
from tests.support.fakes import Asterisk, FakeEngine
from tests.support.whole_app import QUICK


class LazyEngine(FakeEngine):
    """An engine that loads with its first sentence."""

    name = "lazy"
    loaded = False

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        self.loaded = True
        async for pcm in super().stream(sentence, style):
            yield pcm

    def status(self) -> EngineStatus:
        return replace(super().status(), model_loaded=self.loaded)


class EnglishEngine(FakeEngine):
    """An engine that speaks one language and knows none of the other's voices."""

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if "Verzeihung" in sentence:
            raise UnspeakableText("English only")
        async for pcm in super().stream(sentence, style):
            yield pcm


def app_of(main: FakeEngine, spare: FakeEngine, **settings: Any) -> App:
    return App(Settings.of(**{**QUICK, **settings}), FallbackEngine(main, spare))


async def test_it_is_resampled_once_for_each_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count(pcm: Pcm, from_hz: int, to_hz: int, resample: Any = module.resample) -> Any:
        asked.append(to_hz)
        return resample(pcm, from_hz, to_hz)

    monkeypatch.setattr(module, "resample", count)
    apology = Apology()
    assert not apology
    assert apology.at(8_000) == b""
    await apology.make(FakeEngine(), "0123456789", Style(language="en"), normalize=False)
    assert asked == [8_000, 16_000], "before any call"
    for rate_hz in (8_000, 16_000, 48_000, 8_000, 48_000):
        assert len(apology.at(rate_hz)) == 2 * rate_hz
    assert asked == [8_000, 16_000, 48_000]


async def test_a_model_that_is_to_be_loaded_with_the_first_request_is_not_loaded_by_the_apology() -> None:
    main, spare = LazyEngine(), FakeEngine()
    app = app_of(main, spare, apology="Sorry.", greeting="Hello.")
    await app.start()
    assert not main.loaded
    assert [text for text, _ in spare.spoken] == ["Sorry."]
    peer = await Asterisk.connect(app.audiosocket_port)
    peer.send_audio()
    await peer.hear(voiced=True)
    assert main.loaded
    spare.spoken.clear()
    app.calls.active()[0].call.apologize()
    heard = await peer.drain()
    assert sum(any(message.payload) for message in heard) >= 29, "six letters of 100 ms"
    assert spare.spoken == [], "it was ready"
    await peer.close()
    await app.stop()


async def test_without_an_apology_nothing_is_loaded_either() -> None:
    main, spare = LazyEngine(), FakeEngine()
    app = app_of(main, spare)
    await app.start()
    assert not main.loaded
    assert len(spare.spoken) == 1, "what loads with the first text has been loaded"
    await app.stop()


async def test_what_the_embedded_voice_cannot_say_is_made_with_the_first_call() -> None:
    main = LazyEngine()
    app = app_of(main, EnglishEngine(), apology="Verzeihung.", greeting="Guten Tag.")
    await app.start()
    assert not main.loaded
    made = asyncio.Event()
    main.gate.clear()  # the first call's greeting waits for the model; so does its apology
    peer = await Asterisk.connect(app.audiosocket_port)
    peer.send_audio()
    await peer.receive()
    main.gate.set()
    while not any("Verzeihung" in text for text, _ in main.spoken):
        await peer.receive()
    await peer.hear(voiced=True)
    assert app._first_words.late is not None
    app._first_words.late.add_done_callback(lambda task: made.set())
    await asyncio.wait_for(made.wait(), 30)
    app.calls.active()[0].call.apologize()
    heard = await peer.drain()
    assert sum(any(message.payload) for message in heard) >= 54
    await peer.close()
    await app.stop()


async def test_a_first_call_that_is_over_before_the_model_is_there_leaves_nothing() -> None:
    main = LazyEngine()
    main.gate.clear()
    app = app_of(main, EnglishEngine(), apology="Verzeihung.")
    await app.start()
    peer = await Asterisk.connect(app.audiosocket_port)
    while not main.streams:
        await peer.receive()
    await peer.close()
    await app.stop()
    assert main.streams == 0
