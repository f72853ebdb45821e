"""Which sentence the embedded voice speaks next, and how many wait. Its workers only do as they are told."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from engine.hibari import HibariEngine
from engine.hibari import engine as engine_module
from engine.hibari.process import Request
from engine.speech import EngineBusy, Priority, SpeechError, Style
from tests.engine.hibari.asking import settle, speech
from tests.support.loop_clock import LoopClock
from tests.support.waiting import until


class FakeWorker:
    """Answers a request when the test says so; may be lost, or not start."""

    started: list[FakeWorker]
    failing = 0

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.go = asyncio.Semaphore(0)
        self.lost = asyncio.Event()

    @classmethod
    async def start(cls) -> FakeWorker:
        if cls.failing:
            cls.failing -= 1
            raise SpeechError("no such model")
        cls.started.append(cls())
        return cls.started[-1]

    async def work(self, request: Request) -> None:
        self.requests.append(request)
        await self.go.acquire()
        request.answers.put_nowait(np.zeros(480, np.int16))
        request.answers.put_nowait(None)

    async def ended(self) -> SpeechError:
        await self.lost.wait()
        return SpeechError("lost")

    async def close(self) -> None:
        self.lost.set()

    def texts(self) -> list[str]:
        return [request.job.text for request in self.requests]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(engine_module, "WorkerProcess", FakeWorker)
    monkeypatch.setattr(engine_module, "RESTART_DELAYS_S", (0.0,))
    FakeWorker.started, FakeWorker.failing = [], 0
    return FakeWorker


async def test_the_most_urgent_goes_first(fake: type[FakeWorker]) -> None:
    engine = HibariEngine()
    await engine.start()
    (worker,) = fake.started
    now_s = asyncio.get_running_loop().time()
    tasks = []
    for text, style in {
        "in work": Style(),
        "bulk": Style(priority=Priority.BULK),
        "http": Style(priority=Priority.HTTP),
        "later": Style(needed_at_s=now_s + 60),
        "now": Style(),
        "overdue": Style(needed_at_s=now_s - 60),
    }.items():
        tasks.append(asyncio.create_task(speech(engine, text, style)))
        await settle()
    for _ in tasks:
        worker.go.release()
    await asyncio.gather(*tasks)
    assert worker.texts() == ["in work", "overdue", "now", "later", "http", "bulk"]
    await engine.close()


async def test_a_request_given_up_while_waiting_is_never_made(fake: type[FakeWorker]) -> None:
    engine = HibariEngine()
    await engine.start()
    (worker,) = fake.started
    tasks = [asyncio.create_task(speech(engine, text)) for text in ("one", "two", "three")]
    await settle()
    assert engine.status().queue_depth == 2
    tasks[1].cancel()
    await settle()
    assert engine.status().queue_depth == 1
    for _ in range(2):
        worker.go.release()
    await tasks[2]
    assert worker.texts() == ["one", "three"]
    await engine.close()


async def test_a_sentence_waits_for_its_turn_as_long_as_it_takes(fake: type[FakeWorker]) -> None:
    engine = HibariEngine()
    await engine.start()
    (worker,) = fake.started
    with LoopClock() as clock:
        tasks = [asyncio.create_task(speech(engine, text)) for text in ("one", "two")]
        await settle()
        clock.advance(60.0)
        await settle()
        assert not any(task.done() for task in tasks)
        for _ in tasks:
            worker.go.release()
        assert all(await asyncio.gather(*tasks))
    await engine.close()


async def test_a_full_queue_refuses(fake: type[FakeWorker]) -> None:
    engine = HibariEngine(max_queue_depth=1)
    await engine.start()
    (worker,) = fake.started
    tasks = []
    for text in ("in work", "waiting"):
        tasks.append(asyncio.create_task(speech(engine, text)))
        await settle()
    with pytest.raises(EngineBusy):
        await speech(engine, "too many")
    worker.go.release()
    await tasks[0]
    worker.go.release()
    await tasks[1]
    worker.go.release()
    assert await speech(engine, "room again")
    await engine.close()


async def test_two_workers_share_the_queue(fake: type[FakeWorker]) -> None:
    engine = HibariEngine(workers=2)
    await engine.start()
    tasks = [asyncio.create_task(speech(engine, text)) for text in ("one", "two", "three")]
    await settle()
    assert [len(worker.requests) for worker in fake.started] == [1, 1]
    for worker in fake.started:
        worker.go.release()
        worker.go.release()
    await asyncio.gather(*tasks)
    await engine.close()


async def test_start_fails_whole(fake: type[FakeWorker]) -> None:
    fake.failing = 1
    engine = HibariEngine(workers=2)
    with pytest.raises(SpeechError, match="no such model"):
        await engine.start()
    assert all(worker.lost.is_set() for worker in fake.started)


async def test_who_waits_for_a_worker_that_does_not_come_back_gets_an_error(fake: type[FakeWorker]) -> None:
    engine = HibariEngine()
    await engine.start()
    fake.failing = 1
    fake.started[0].lost.set()
    with pytest.raises(SpeechError, match="no such model"):
        await speech(engine, "hello")
    await until(lambda: len(fake.started) == 2)
    fake.started[1].go.release()
    assert await speech(engine, "hello again")
    assert engine.status().warnings == ()
    await engine.close()
