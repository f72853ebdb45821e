"""Replicas that are killed, stopped and ended in the middle of a sentence: nobody hears of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import numpy as np
import pytest

from bridge.converse.server_process import running_server
from engine.replicas.engine import ReplicasEngine
from engine.speech import Style
from tests.support.counting_engine import PACE_VARIABLE, WORD_SAMPLES, counted
from tests.support.replica_process import ReplicaProcess
from tests.support.waiting import until

PATIENCE_S = 20
WORDS = 30
SENTENCE = " ".join(["word"] * WORDS)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ReplicaProcess]]:
    folder = tmp_path_factory.mktemp("replicas")
    # A piece of 20 ms every 4 ms: a sentence takes 0.6 s, and its middle is hit on a busy machine too.
    replicas = [ReplicaProcess(folder, str(number), **{PACE_VARIABLE: "0.004"}) for number in range(2)]
    yield replicas
    for replica in replicas:
        replica.kill()


@pytest.fixture
async def engine(fleet: list[ReplicaProcess]) -> AsyncIterator[ReplicasEngine]:
    """Speaks with both; what an earlier test has ended is started again."""
    ended = [replica for replica in fleet if not replica.alive]
    for replica in ended:
        replica.begin()
    for replica in ended:
        replica.ready()
    engine = ReplicasEngine([replica.address for replica in fleet], start_s=PATIENCE_S)
    await engine.start()
    await both_up(engine)
    yield engine
    await engine.close()


async def both_up(engine: ReplicasEngine) -> None:
    await until(lambda: all(each["up"] for each in engine.status().details["replicas"]))


def speaker(engine: ReplicasEngine, fleet: list[ReplicaProcess]) -> ReplicaProcess:
    """The replica that speaks now."""
    (place,) = [at for at, each in enumerate(engine.status().details["replicas"]) if each["sentences"]]
    return fleet[place]


async def said_while(engine: ReplicasEngine, act: Callable[[], None]) -> np.ndarray:
    """What a call hears of a sentence in the middle of which something is done."""
    heard, acted = [], False
    async with asyncio.timeout(PATIENCE_S):
        async for pcm in engine.stream(SENTENCE, Style(listener="call")):
            heard.append(pcm)
            if not acted and sum(each.size for each in heard) > WORDS * WORD_SAMPLES // 3:
                acted = True
                act()
    return np.concatenate(heard)


async def test_a_replica_that_is_killed_in_mid_sentence_costs_no_word(engine, fleet):
    killed = []

    def kill() -> None:
        killed.append(speaker(engine, fleet))
        killed[0].kill()

    assert np.array_equal(await said_while(engine, kill), counted(WORDS))
    assert engine.status().details["sentences_moved"] == 1
    killed[0].begin()
    killed[0].ready()
    await both_up(engine)


async def test_a_replica_that_is_stopped_is_taken_for_dead_and_used_again_later(engine, fleet):
    """Its connection stays open: only that nothing comes any more tells."""
    stopped = []

    def stop() -> None:
        stopped.append(speaker(engine, fleet))
        stopped[0].signal(signal.SIGSTOP)

    try:
        assert np.array_equal(await said_while(engine, stop), counted(WORDS))
        assert engine.status().details["sentences_moved"] == 1
    finally:
        stopped[0].signal(signal.SIGCONT)
    await both_up(engine)


async def test_a_signal_that_is_meant_for_a_bridge_ends_no_replica(engine, fleet):
    """Somebody sends it to all that is named talkspurt."""

    def disturb() -> None:
        for number in (signal.SIGHUP, signal.SIGUSR2):
            speaker(engine, fleet).signal(number)

    assert np.array_equal(await said_while(engine, disturb), counted(WORDS))
    assert engine.status().details["sentences_moved"] == 0


async def test_a_bridge_speaks_with_replicas_and_tells_of_each(engine, fleet):
    urls = ",".join(str(replica.address) for replica in fleet)
    async with (
        running_server(ENGINE="remote", ENGINE_URLS=urls) as server,
        aiohttp.ClientSession(server.http_url) as http,
    ):
        body = {"input": "one two three", "response_format": "pcm", "model": "tts-1"}
        async with http.post("/v1/audio/speech", json=body) as response:
            made = np.frombuffer(await response.read(), "<i2")
        async with http.get("/health") as response:
            health = await response.json()
        async with http.get("/metrics") as response:
            metrics = await response.text()
    assert np.array_equal(made[: 3 * WORD_SAMPLES], counted(3))
    assert (health["status"], health["engine"], health["warnings"]) == ("ok", "remote", [])
    told = health["engine_status"]["replicas"]
    assert [(each["replica"], each["up"], each["engine"]) for each in told] == [
        (str(replica.address), True, "counting") for replica in fleet
    ]
    for replica in fleet:
        assert f'talkspurt_replica_up{{replica="{replica.address}"}} 1.0' in metrics
        assert f'talkspurt_replica_losses_total{{replica="{replica.address}"}} 0.0' in metrics
    assert "talkspurt_sentences_moved_total 0.0" in metrics


async def test_a_replica_that_is_told_to_end_says_its_sentence_first(engine, fleet):
    ended = []

    def end() -> None:
        ended.append(speaker(engine, fleet))
        ended[0].signal(signal.SIGTERM)

    assert np.array_equal(await said_while(engine, end), counted(WORDS))
    assert engine.status().details["sentences_moved"] == 0
    assert np.array_equal(await said_while(engine, lambda: None), counted(WORDS)), "the other one goes on"
    assert await asyncio.to_thread(ended[0].ended) == 0
