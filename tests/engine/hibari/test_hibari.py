import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from engine.child import pack
from engine.hibari import HibariEngine, process
from engine.hibari import engine as engine_module
from engine.hibari.messages import Speak
from engine.hibari.pico import Pico
from engine.hibari.process import WorkerProcess
from engine.pipeline import speak
from engine.speech import Priority, SpeechError, Style, UnknownVoice, UnspeakableText
from tests.engine.hibari.asking import HELLO, settle, speech, worker_of
from tests.support.loop_clock import LoopClock
from tests.support.waiting import until

QWEN_VOICES = ["vivian", "serena", "uncle_fu", "dylan", "eric", "ryan", "aiden", "ono_anna", "sohee"]
OPENAI_VOICES = ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"]

in_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hibari() -> AsyncIterator[HibariEngine]:
    engine = HibariEngine()
    await engine.start()
    yield engine
    await engine.close()


# ---- with a real worker ----


@in_module
async def test_speaks_in_chunks_with_no_silence_around(hibari: HibariEngine) -> None:
    chunks = await speech(hibari, HELLO)
    assert all(chunk.dtype == np.int16 and 480 <= chunk.size <= 4800 for chunk in chunks)
    pcm = np.concatenate(chunks)
    assert 1.5 < pcm.size / hibari.sample_rate_hz < 3
    assert np.abs(pcm[:480]).max() > 100  # voice within 20 ms
    assert np.abs(pcm[-1440:]).max() > 50  # and until 60 ms before the end
    active = [block for block in np.array_split(pcm.astype(float), 20) if block.std() > 500]
    assert -24 < 20 * np.log10(np.mean([block.std() for block in active]) / 32768) < -16  # telephone level
    assert np.abs(pcm).max() < 32768


@in_module
async def test_the_same_sentence_gives_the_same_samples(hibari: HibariEngine) -> None:
    assert hibari.deterministic(Style())
    first, again, seeded = [
        np.concatenate(await speech(hibari, HELLO, style))
        for style in (Style(), Style(priority=Priority.BULK), Style(seed=7))
    ]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, seeded)


@in_module
async def test_tells_when_words_begin_to_whom_it_asks(hibari: HibariEngine) -> None:
    starts: list[int] = []
    told = await speech(hibari, HELLO, Style(on_word_starts=starts.extend))
    assert len(starts) == len(HELLO.split())
    np.testing.assert_array_equal(np.concatenate(told), np.concatenate(await speech(hibari, HELLO)))


@in_module
@pytest.mark.parametrize("text", ["你好。", "...", "😀", "", "Здравствуйте!", "你好，我是 AI 助手，很高兴认识你"])
async def test_text_without_english_sounds_is_refused(hibari: HibariEngine, text: str) -> None:
    with pytest.raises(UnspeakableText):
        await speech(hibari, text)


@in_module
@pytest.mark.parametrize("text", ["Café Müller.", "42", "It means 你好.", "'"])
async def test_text_with_some_is_spoken_or_refused_but_never_silent(hibari: HibariEngine, text: str) -> None:
    with contextlib.suppress(UnspeakableText):
        assert await speech(hibari, text)


@in_module
async def test_another_language_is_refused(hibari: HibariEngine) -> None:
    with pytest.raises(UnspeakableText, match="'pt'"):
        await speech(hibari, "Bom dia.", Style(language="pt"))
    assert await speech(hibari, "Good day.", Style(language="en-GB"))


@in_module
@pytest.mark.parametrize("language", ["de-AT", "fr"])
async def test_a_language_of_picos_is_spoken_by_pico(hibari: HibariEngine, language: str) -> None:
    text, starts = "Marie Durand, Paris.", list[int]()
    made = np.concatenate(await speech(hibari, text, Style(language=language, on_word_starts=starts.extend)))
    own = np.concatenate(list(Pico().speak(Speak(text, language=language[:2]))))
    np.testing.assert_array_equal(made, own)
    assert not starts, "Pico does not tell when its words begin"


@in_module
async def test_streams_at_the_same_time_do_not_mix(hibari: HibariEngine) -> None:
    sentences = ["One.", HELLO, "Yes, of course."]
    alone = [np.concatenate(await speech(hibari, sentence)) for sentence in sentences]
    together = await asyncio.gather(*(speech(hibari, sentence) for sentence in sentences))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, np.concatenate(other))


@in_module
async def test_closing_a_stream_early_leaves_the_next_whole(hibari: HibariEngine) -> None:
    whole = np.concatenate(await speech(hibari, HELLO))
    for _ in range(5):
        async with aclosing(hibari.stream("This one is not listened to for long, is it?", Style())) as stream:
            await anext(stream)
    np.testing.assert_array_equal(np.concatenate(await speech(hibari, HELLO)), whole)
    assert hibari.status().queue_depth == 0


@in_module
async def test_worker_is_nice_and_keeps_telemetry_off(hibari: HibariEngine) -> None:
    pid = worker_of(hibari).pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, max(0, os.getpriority(os.PRIO_PROCESS, 0)) + 10)
    assert b"ORT_DISABLE_TELEMETRY=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")  # noqa: ASYNC240


@in_module
async def test_worker_outlives_a_signal_meant_for_the_server(hibari: HibariEngine) -> None:
    worker = worker_of(hibari)
    os.kill(worker.pid, signal.SIGTERM)
    os.kill(worker.pid, signal.SIGINT)
    assert await speech(hibari, HELLO)
    assert worker_of(hibari) is worker


@in_module
async def test_a_lost_worker_fails_its_request_and_is_replaced(hibari: HibariEngine) -> None:
    worker = worker_of(hibari)
    os.kill(worker.pid, signal.SIGSTOP)  # so that the request is surely in it
    request = asyncio.create_task(speech(hibari, HELLO))
    await until(lambda: hibari._unfinished and not hibari._waiting)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(SpeechError, match="ended unexpectedly"):
        await request
    assert await speech(hibari, HELLO)
    assert worker_of(hibari).pid != worker.pid


@in_module
async def test_a_worker_lost_while_idle_costs_no_request(hibari: HibariEngine) -> None:
    os.kill(worker_of(hibari).pid, signal.SIGKILL)
    await until(lambda: not hibari._workers)
    assert await speech(hibari, HELLO)


@in_module
async def test_a_hanging_worker_is_replaced(hibari: HibariEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_of(hibari)
    monkeypatch.setattr(process, "JOB_TIMEOUT_S", 0.05)
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(SpeechError, match="said nothing"):
        await speech(hibari, HELLO)
    monkeypatch.undo()
    assert await speech(hibari, HELLO)


@in_module
async def test_a_hanging_worker_costs_its_caller_three_seconds_at_most(hibari: HibariEngine) -> None:
    os.kill(worker_of(hibari).pid, signal.SIGSTOP)
    with LoopClock() as clock:
        request = asyncio.create_task(speech(hibari, HELLO))
        await until(lambda: hibari._unfinished and not hibari._waiting)
        begun_s = clock.now_s()
        while not request.done():
            clock.advance(0.5)
            await settle()
        with pytest.raises(SpeechError, match="said nothing for 3 s"):
            await request
        assert clock.now_s() - begun_s < 4.0
    assert await speech(hibari, HELLO)


async def test_close_ends_the_process_and_what_is_in_it() -> None:
    engine = HibariEngine()
    await engine.start()
    pid = worker_of(engine).pid
    os.kill(pid, signal.SIGSTOP)
    requests = [asyncio.create_task(speech(engine, HELLO)) for _ in range(2)]
    await until(lambda: len(engine._unfinished) == 2)
    await engine.close()
    for request in requests:
        with pytest.raises(SpeechError, match="closed"):
            await request
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(SpeechError, match="not running"):
        await speech(engine, HELLO)
    await engine.close()
    assert not engine.status().model_loaded


def test_worker_ends_with_the_process_that_started_it() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "engine.hibari.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    worker.communicate(pack(Speak("Hello.")))  # and then its input ends
    assert worker.returncode == 0


def test_the_main_process_imports_neither_model_nor_runtime() -> None:
    code = "import sys, engine.hibari; print(*{'hibari', 'onnxruntime', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# ---- without one ----


def test_every_name_is_a_voice_of_its_own() -> None:
    engine = HibariEngine()
    known = [voice.id for voice in engine.voices()]
    assert known[0] == engine.resolve_voice("") == "heart"
    assert set(QWEN_VOICES + OPENAI_VOICES) < set(known)
    assert [engine.resolve_voice(f" {name.upper()} ") for name in known] == known


def test_an_unknown_voice_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownVoice, match="alloy") as refused:
        HibariEngine().resolve_voice("bob")
    assert len(refused.value.known) == 23


@pytest.mark.parametrize(
    ("text", "limit", "jobs"),
    [
        ("", 20, []),
        ("Short enough.", 20, ["Short enough."]),
        ("One clause of it, and then another one.", 21, ["One clause of it,", "and then another one."]),
        ("wordsthatneverend" * 3 + " and on", 20, ["wordsthatneverend" * 3, "and on"]),
        ("x" * 50, 20, ["x" * 50]),
    ],
)
def test_a_long_sentence_is_several_jobs(text: str, limit: int, jobs: list[str]) -> None:
    assert list(engine_module.jobs_of(text, limit)) == jobs


@pytest.mark.parametrize("text", ["[=;$@%}&" * 7, "0123456789" * 5, "Donaudampfschifffahrtsgesellschaft"])
def test_what_pico_is_given_at_once_is_short_whatever_it_is(text: str) -> None:
    """Sixty signs at a quarter of the pace were 168 s of sound, for which all calls waited more than a second."""
    jobs = list(engine_module.jobs_of(text, 20, within_words=True))
    assert "".join(jobs) == text
    assert all(len(job) <= 20 and len(re.findall(r"[^a-z]", job)) <= 5 for job in jobs)


@in_module
async def test_a_word_of_signs_is_given_to_pico_in_parts(hibari: HibariEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    send = WorkerProcess.send
    monkeypatch.setattr(WorkerProcess, "send", lambda worker, job: (given.append(job.text), send(worker, job)))
    await speech(hibari, "a" + "%" * 59, Style(language="de", speed=0.5))
    assert "".join(given) == "a" + "%" * 59
    assert max(map(len, given)) <= 25


@in_module
async def test_in_other_languages_a_word_with_its_sounds_is_read_as_it_is_written(hibari: HibariEngine) -> None:
    async def said(text: str) -> bytes:
        return b"".join([chunk.pcm.tobytes() async for chunk in speak(hibari, text, Style(language="de"))])

    assert await said("Ein Tag in [Worcester](/ˈwʊstər/).") == await said("Ein Tag in Worcester.")


@in_module
async def test_words_begin_in_order_where_a_sentence_is_several_jobs(hibari: HibariEngine) -> None:
    starts: list[int] = []
    text = "please hold the line " * 6 + "… " + "until somebody answers " * 4
    style = Style(speed=0.5, on_word_starts=starts.extend)
    pcm = np.concatenate(await speech(hibari, text.strip(), style))
    assert len(text) > engine_module.JOB_CHARS * 0.5
    assert len(starts) == len(text.split())
    assert starts == sorted(starts)
    assert pcm.size * 0.9 < starts[-1] + 24_000 < pcm.size * 1.3
