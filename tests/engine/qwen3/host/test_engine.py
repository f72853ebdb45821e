"""The engine as its callers see it. Its model process is replaced by one without a model that fails on demand."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.host.voices import NAMED
from engine.qwen3.messages import Cancel, Prime
from engine.qwen3.settings import QwenSettings
from engine.recording import read_recording
from engine.settings import VoiceSettings
from engine.speech import (
    CannotClone,
    EngineBusy,
    Priority,
    SpeechError,
    Style,
    UnknownVoice,
    UnspeakableText,
)
from engine.voice_store import VoiceStore
from tests.engine.qwen3.host.asking import REQUEST_TIMEOUT_S, a_reference, alive, say, seen, until


async def test_many_sentences_at_once(make: Any) -> None:
    engine = await make()
    words = ["one", "one two", "one two three"]
    assert await asyncio.gather(*(say(engine, text) for text in words)) == [1920, 3840, 5760]
    status = engine.status().told()
    assert status["engine"] == "qwen3"
    assert status["model_loaded"] is True
    assert status["queue_depth"] == 0
    assert status["device"] == "fake"
    assert "a warning" in status["warnings"]


async def test_everything_asked_for_reaches_the_model(make: Any) -> None:
    engine = await make()
    await say(
        engine,
        " Hello. ",
        voice="Nova",
        language="en-GB",
        instructions="softly",
        speed=4.0,
        temperature=0.5,
        top_p=0.8,
        seed=4,
    )
    speak = (await seen(engine, 1))[0]
    assert speak.text == "Hello."
    assert speak.voice == "speaker:vivian"
    assert speak.language == "english"
    assert speak.instructions == "softly"
    assert (speak.speed, speak.temperature, speak.top_p, speak.seed) == (4.0, 0.5, 0.8, 4)


async def test_a_telephone_s_rate_is_asked_for_where_a_call_has_it(make: Any) -> None:
    engine = await make()
    for wanted_hz, rate_hz in ((8_000, 8_000), (16_000, 24_000), (None, 24_000)):
        assert engine.rate_hz(Style(sample_rate_hz=wanted_hz)) == rate_hz
        await say(engine, "Hello", sample_rate_hz=wanted_hz)
    assert [speak.narrowband for speak in await seen(engine, 3)] == [True, False, False]


async def test_a_designed_voice_is_described(make: Any) -> None:
    engine = await make("voice_design")
    await say(engine, "Hello", voice="sohee", instructions="Whisper.")
    speak = (await seen(engine, 1))[0]
    assert speak.voice == "designed"
    assert speak.instructions == "A warm Korean female voice with rich emotion. Whisper."


async def test_closing_a_stream_cancels_it(make: Any) -> None:
    engine = await make()
    async with aclosing(engine.stream("pause", Style())) as stream:
        await anext(stream)
    assert isinstance((await seen(engine, 2))[1], Cancel)
    assert engine.status().queue_depth == 0


async def test_a_sentence_that_fails_fails_alone(make: Any) -> None:
    engine = await make()
    async with aclosing(engine.stream("pause", Style())) as other:
        await anext(other)
        with pytest.raises(SpeechError, match="out of ideas"):
            await say(engine, "fail")
        assert engine.status().details["state"] == "ready"


async def test_request_timeout(make: Any) -> None:
    engine = await make(request_timeout=0.05)
    with pytest.raises(SpeechError, match="REQUEST_TIMEOUT"):
        await say(engine, "silent")
    assert isinstance((await seen(engine, 2))[1], Cancel)


async def test_a_cloned_voice_is_taken_once_and_kept(make: Any) -> None:
    engine = await make("base", voice_cache_max=2)
    first, second, third = (a_reference(level=level) for level in (1, 2, 3))
    await engine.prepare_clone(first)
    assert await say(engine, "one", reference=first) == 1920
    speak = (await seen(engine, 1))[0]
    assert speak.voice == first.digest
    for reference in (second, first, third):
        await say(engine, "one", reference=reference)
    known = {first.digest, third.digest}
    await until(engine, lambda status: set(status.get("known", ())) == known)
    status = engine.status().told()
    assert (status["voice_cache_size"], status["voice_cache_hits"], status["voice_cache_misses"]) == (2, 2, 3)
    assert engine.clear_voices() == 2
    await until(engine, lambda status: status.get("known") == [])


async def test_a_recording_that_cannot_be_used(make: Any) -> None:
    engine = await make("base")
    with pytest.raises(SpeechError, match="cannot be used"):
        await engine.prepare_clone(a_reference(seconds=0.001))
    assert engine.status().voice_cache_size == 0


async def test_a_voice_is_taken_again_by_the_next_process(make: Any) -> None:
    engine = await make("base")
    reference = a_reference()
    await engine.prepare_clone(reference)
    with pytest.raises(SpeechError):
        await say(engine, "crash", reference=reference)
    await until(engine, lambda status: status["state"] == "ready")
    assert await say(engine, "hello", reference=reference) == 1920


async def test_voices_are_made_ready_at_the_start(make: Any) -> None:
    engine = await make(prime_languages="en, DE")
    primed = await seen(engine, 27)
    assert len(primed) == 27
    assert primed[:4] == [
        Prime("speaker:ryan", "english"),
        Prime("speaker:ryan", "german"),
        Prime("speaker:ryan", None),
        Prime("speaker:aiden", "english"),
    ]
    designed = await seen(await make("voice_design", prime_languages="en"), 18)
    assert designed[0] == Prime("designed", "english", NAMED["ryan"].description)


async def test_recorded_and_stored_voices_are_taken_and_made_ready_at_the_start(make: Any, tmp_path: Path) -> None:
    voices = tmp_path / "recorded"
    VoiceStore(voices, 10).save("grandma", "de", a_reference(level=7))
    engine = await make("base", prime_languages="en")
    ryan = read_recording((voices / "ryan.wav").read_bytes(), min_s=0, max_s=60).digest
    stored = a_reference(level=7).digest
    expected = [Prime(digest, language) for digest in (ryan, stored) for language in ("english", None)]
    assert await seen(engine, 4) == expected
    assert engine.status().details["known"] == sorted([ryan, stored])
    await engine.prepare_clone(a_reference(level=3))
    assert (await seen(engine, 6))[4:] == [Prime(a_reference(level=3).digest, code) for code in ("english", None)]


async def test_a_voice_that_cannot_be_taken_does_not_keep_the_others(make: Any, tmp_path: Path) -> None:
    VoiceStore(tmp_path / "recorded", 10).save("click", None, a_reference(seconds=0.001))
    VoiceStore(tmp_path / "recorded", 10).save("grandma", None, a_reference(level=7))
    engine = await make("base", prime_languages="en")
    assert (await seen(engine, 4))[3].voice == a_reference(level=7).digest


def test_languages_to_make_ready_are_checked() -> None:
    assert QwenSettings(prime_languages=" en,DE ").prime_languages == "en,de"
    with pytest.raises(ValueError, match="sv is not spoken"):
        QwenSettings(prime_languages="en,sv")


async def test_only_base_models_clone(make: Any) -> None:
    engine = await make()
    assert not engine.can_clone
    with pytest.raises(CannotClone):
        await engine.prepare_clone(a_reference())
    with pytest.raises(CannotClone):
        await say(engine, "hello", reference=a_reference())
    assert (await make("base")).can_clone


async def test_what_is_refused_at_once(make: Any) -> None:
    engine = await make()
    for text, style in (("…!?", {}), ("hello", {"language": "sv"})):
        with pytest.raises(UnspeakableText):
            await say(engine, text, **style)
    with pytest.raises(UnknownVoice):
        await say(engine, "hello", voice="nobody")


@pytest.mark.parametrize(("modes", "places"), [((), 2), (("narrow",), 1)], ids=["MAX_BATCH", "measured"])
async def test_no_more_wait_than_will_get_a_place(make: Any, modes: tuple[str, ...], places: int) -> None:
    """Calls are not refused because of others, nor others because of calls."""
    engine = await make(*modes)
    for style in (Style(priority=Priority.HTTP), Style()):
        streams = [engine.stream("pause", style) for _ in range(5 * places)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(EngineBusy):
            await say(engine, "hello", priority=style.priority)
        if style.priority is Priority.HTTP:
            assert await say(engine, "hello") == 1920
        for stream in streams:
            await stream.aclose()
        assert await say(engine, "hello", priority=style.priority) == 1920
    assert engine.status().refused == 2


async def test_how_long_a_sentence_may_wait_for_its_place(make: Any) -> None:
    engine = await make(request_timeout=10)
    now_s = asyncio.get_running_loop().time()
    await say(engine, "hello")
    await say(engine, "hello", needed_at_s=now_s + 100)
    await say(engine, "hello", priority=Priority.BULK)
    await say(engine, "hello", heard_s=2.5)
    first, made_ahead, bulk, again = await seen(engine, 4)
    assert (first.heard_s, again.heard_s) == (0.0, 2.5)
    assert (first.priority, first.needed_in_s, first.patience_s) == (0, 0.0, 0.3)
    assert made_ahead.needed_in_s == pytest.approx(100, abs=20)
    assert (bulk.priority, bulk.patience_s) == (2, 9.0)


async def test_a_sentence_that_gets_no_place_in_time(make: Any) -> None:
    """Over HTTP that is a 503; a call goes to its fallback."""
    engine = await make()
    with pytest.raises(EngineBusy, match="2 sentences at once"):
        await say(engine, "refuse")
    assert engine.status().refused == 1
    assert engine.status().queue_depth == 0


async def test_closing_the_engine_ends_its_streams_and_its_process(make: Any) -> None:
    engine = await make()
    pid = engine.status().details["pid"]
    stream = engine.stream("pause", Style())
    await anext(stream)
    await engine.close()
    with pytest.raises(SpeechError, match="closed"):
        await anext(stream)
    with pytest.raises(SpeechError, match="closed"):
        await say(engine, "hello")
    assert not alive(pid)


async def test_the_house_voice_speaks_where_a_base_model_has_no_recording(make: Any, tmp_path: Path) -> None:
    engine = await make("base", voices_dir=tmp_path)
    assert [voice.id for voice in engine.voices()] == ["house"]
    assert engine.resolve_voice("ryan") == engine.resolve_voice("alloy") == engine.resolve_voice("") == "house"
    assert any("VOICES_DIR" in warning for warning in engine.status().warnings)
    assert await say(engine, "hello") == 1920


def test_deterministic_with_a_seed_or_without_chance() -> None:
    engine = Qwen3Engine(QwenSettings(model_id="some/Base"), VoiceSettings(), REQUEST_TIMEOUT_S)
    assert engine.deterministic(Style(seed=0))
    assert engine.deterministic(Style(temperature=0.0))
    assert not engine.deterministic(Style())


async def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpeechError, match=r"pip install '.*\[gpu\]'"):
        await Qwen3Engine(QwenSettings(), VoiceSettings(), REQUEST_TIMEOUT_S).start()
