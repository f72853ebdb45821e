"""When the model is loaded and unloaded, and what a lost process costs."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing
from typing import Any

import pytest

from engine.qwen3.host.process import ModelProcess
from engine.qwen3.host.supervisor import Supervisor
from engine.qwen3.messages import Ready
from engine.qwen3.settings import QwenSettings
from engine.speech import (
    SpeechError,
    Style,
)
from tests.engine.qwen3.host.asking import FAKE, alive, say, until


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
    await until(engine, lambda status: not alive(first))
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
    assert alive(standby.pid)
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
