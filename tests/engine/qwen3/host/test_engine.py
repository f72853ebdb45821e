"""The engine as its callers see it. Its model process is replaced by one without a model that fails on demand."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.host.process import ModelProcess
from engine.qwen3.host.supervisor import Supervisor
from engine.qwen3.host.voices import NAMED
from engine.qwen3.messages import Cancel, Prime, Ready
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
    VoiceReference,
)
from engine.voice_store import VoiceStore
from tests.engine.qwen3.host.test_voices import write_wav

REQUEST_TIMEOUT_S = 300.0
FAKE = str(Path(__file__).parents[3] / "support" / "qwen3" / "fake_worker.py")


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts engines, a Base one with a recording of one voice, and closes them all."""
    engines: list[Qwen3Engine] = []
    voices = tmp_path / "recorded"
    voices.mkdir()
    write_wav(voices / "ryan.wav")

    async def start(*modes: str, start: bool = True, hang_timeout_s: float = 30.0, **settings: Any) -> Qwen3Engine:
        kind = next((mode for mode in modes if mode in ("base", "voice_design")), "CustomVoice")
        options = {"model_id": f"some/{kind}", "device": "cpu", "max_batch": 2, "voices_dir": voices}
        options |= {"prime_languages": "", "request_timeout": REQUEST_TIMEOUT_S, **settings}
        engine = Qwen3Engine(
            QwenSettings.model_validate(options),
            VoiceSettings.model_validate(options),
            options["request_timeout"],
            hang_timeout_s=hang_timeout_s,
            rebuild_delays_s=(0.0, 0.02),
            command=("-P", FAKE, *modes),
        )
        engines.append(engine)
        if start:
            await engine.start()
        return engine

    yield start
    for engine in engines:
        await engine.close()
        await engine.close()  # once more does no harm


async def say(engine: Qwen3Engine, text: str, **style: Any) -> int:
    """Returns how many samples a sentence has."""
    return sum([len(pcm) async for pcm in engine.stream(text, Style(**style))])


async def until(engine: Qwen3Engine, holds: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """Returns the first status, as /health shows it, for which `holds` is true: the fake process beats often."""
    async with asyncio.timeout(20):
        while not holds(status := engine.status().told()):  # noqa: ASYNC110 (there is no event for what a process does)
            await asyncio.sleep(0.002)
    return status


def a_reference(seconds: float = 1.0, level: int = 1) -> VoiceReference:
    return VoiceReference(np.full(int(24000 * seconds), level, np.int16), 24000, "As I said.")


async def seen(engine: Qwen3Engine, number: int) -> list[Any]:
    """Returns the first commands that reached the process."""
    return (await until(engine, lambda status: len(status.get("seen", ())) >= number))["seen"]


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


async def test_a_lost_process_ends_its_sentences_and_another_takes_its_place(make: Any) -> None:
    engine = await make()
    async with aclosing(engine.stream("pause", Style())) as stream:
        await anext(stream)
        with pytest.raises(SpeechError, match="exit status 70"):
            await say(engine, "crash")
        with pytest.raises(SpeechError, match="exit status 70"):
            await anext(stream)
    with pytest.raises(SpeechError, match="being loaded again"):
        await say(engine, "straight after it", seed=1)
    assert engine.status().warnings
    await until(engine, lambda status: status["state"] == "ready")
    assert await say(engine, "again") == 1920
    assert engine.status().faults == 1
    assert not any("ended unexpectedly" in warning for warning in engine.status().warnings)


async def test_a_killed_process_is_replaced_also_when_nobody_speaks(make: Any, logged: list[Any]) -> None:
    engine = await make()
    pid = (await until(engine, lambda status: "pid" in status))["pid"]
    os.kill(pid, signal.SIGKILL)
    status = await until(engine, lambda status: status["state"] == "ready" and status.get("pid") not in (None, pid))
    assert status["faults"] == 1
    assert "killed, as the system does when memory runs out" in str(logged)


async def test_a_process_that_hangs_is_ended(make: Any) -> None:
    engine = await make("mute", hang_timeout_s=0.2)
    with pytest.raises(SpeechError, match="said nothing"):
        await say(engine, "silent")
    await until(engine, lambda status: status["state"] == "ready")


async def test_a_process_with_nothing_to_do_may_be_silent(make: Any) -> None:
    engine = await make("mute", hang_timeout_s=0.1)
    pid = engine.status().details["pid"]
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(0.4, over.set_result, None)  # four times as long as it may be silent with work to do
    await over
    assert engine.status().details["pid"] == pid
    assert engine.status().faults == 0


async def test_a_model_that_cannot_be_loaded_says_why(make: Any) -> None:
    engine = await make("broken", start=False)
    with pytest.raises(SpeechError, match="MODEL_ID=nowhere: there is no such folder"):
        await engine.start()
    assert engine.status().model_loaded is False
    assert engine.status().warnings


async def test_loaded_with_the_first_sentence(make: Any) -> None:
    engine = await make(preload_model=False)
    assert engine.status().details["state"] == "unloaded"
    assert await asyncio.gather(say(engine, "both"), say(engine, "wait")) == [1920, 1920]


async def test_the_error_of_a_later_load_reaches_who_waits(make: Any) -> None:
    engine = await make("broken", preload_model=False)
    for _ in range(2):  # each tries anew
        with pytest.raises(SpeechError, match="no such folder"):
            await say(engine, "hello")


async def test_unloaded_when_idle_and_loaded_again(make: Any) -> None:
    engine = await make(idle_timeout=0.5)
    first = (await until(engine, lambda status: "pid" in status))["pid"]
    await until(engine, lambda status: status["state"] == "unloaded")
    # The process is gone, and with it all that it held.
    await until(engine, lambda status: not _alive(first))
    assert await asyncio.gather(say(engine, "here again"), say(engine, "so am I")) == [3840, 5760], "both waited for it"
    status = await until(engine, lambda status: "pid" in status or status["state"] == "unloaded")
    assert status.get("pid") != first
    assert status["faults"] == 0
    assert status["idle_unloads"] >= 1


async def test_the_next_process_is_there_before_the_model_is_wanted_again(make: Any) -> None:
    """Importing takes longer than loading."""
    engine = await make(idle_timeout=0.05)
    await until(engine, lambda status: status["state"] == "unloaded")
    await engine._supervisor._closing
    standby = engine._supervisor._standby
    assert engine.status().details["pid"] is None
    assert _alive(standby.pid)
    async with aclosing(engine.stream("pause", Style())) as stream:
        await anext(stream)
        assert engine.status().details["pid"] == standby.pid
        assert engine._supervisor._standby is None, "one at a time while there is a model"


async def test_nor_has_the_first_sentence_to_wait_for_imports(make: Any) -> None:
    engine = await make(preload_model=False)
    standby = engine._supervisor._standby
    async with aclosing(engine.stream("pause", Style())) as stream:
        await anext(stream)
        assert engine.status().details["pid"] == standby.pid


async def test_a_process_that_was_lost_while_it_stood_by_is_not_missed(make: Any) -> None:
    engine = await make(preload_model=False)
    standby = engine._supervisor._standby
    os.kill(standby.pid, signal.SIGKILL)
    await standby._listening
    assert await say(engine, "here") == 1920
    assert engine.status().faults == 0


async def test_what_stands_by_goes_with_the_engine(make: Any) -> None:
    engine = await make(preload_model=False)
    standby = engine._supervisor._standby
    await engine.close()
    assert standby.gone


async def test_nor_is_what_was_begun_while_it_closed_left_behind(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    processes: list[ModelProcess] = []
    start = ModelProcess.start

    async def slowly(*how: Any) -> ModelProcess:
        processes.append(await start(*how))
        begun.set()
        await go_on.wait()
        return processes[0]

    monkeypatch.setattr(ModelProcess, "start", slowly)
    engine = await make(start=False, preload_model=False)
    starting = asyncio.create_task(engine.start())
    await begun.wait()
    await engine.close()
    go_on.set()
    await starting
    assert processes[0].gone


async def test_what_is_being_replaced_is_not_unloaded() -> None:
    """Nor is the model loaded a second time then, beside the one on its way."""
    counts: list[int] = []
    back = asyncio.Event()

    def hear(event: Any) -> None:
        if isinstance(event, Ready):
            counts.append(supervisor.unloads)
            if len(counts) == 1:
                assert supervisor.pid is not None
                os.kill(supervisor.pid, signal.SIGKILL)
            else:
                back.set()

    settings = QwenSettings(model_id="some/CustomVoice", device="cpu", idle_timeout=0.3)
    supervisor = Supervisor(settings, hear, lambda _: None, rebuild_delays_s=(0.5,), command=("-P", FAKE))
    try:
        await supervisor.loaded()
        async with asyncio.timeout(20):
            await back.wait()
    finally:
        await supervisor.close()
    assert counts == [0, 0]


async def test_a_process_lost_while_the_engine_closes_is_not_replaced(make: Any) -> None:
    engine = await make()
    supervisor = engine._supervisor
    process = supervisor._process
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    assert supervisor.state == "closed"
    supervisor._left(process, -signal.SIGTERM)
    await closing
    assert supervisor.state == "closed"
    assert not supervisor._tasks
    process.kill()
    await process.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
        ({"PYTORCH_ALLOC_CONF": "a"}, {"PYTORCH_ALLOC_CONF": "a"}),
        ({"PYTORCH_CUDA_ALLOC_CONF": "b"}, {"PYTORCH_CUDA_ALLOC_CONF": "b"}),
    ],
)
async def test_an_administrator_s_allocator_goes_before_ours(
    make: Any, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: dict[str, str]
) -> None:
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    engine = await make()
    assert (await until(engine, lambda status: "allocator" in status))["allocator"] == expected


async def test_not_unloaded_while_somebody_listens(make: Any) -> None:
    engine = await make(idle_timeout=0.02)
    async with aclosing(engine.stream("pause", Style())) as stream:
        await anext(stream)
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_later(0.2, over.set_result, None)
        await over
        assert engine.status().details["state"] == "ready"
    await until(engine, lambda status: status["state"] == "unloaded")


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
    assert not _alive(pid)


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


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
