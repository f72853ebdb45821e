"""Replicas that a real Ray starts on this machine: bridges learn of them, and hear nothing of what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import numpy as np
import pytest

from engine.child import ChildProcess
from engine.replicas.engine import ReplicasEngine
from engine.replicas.settings import ReplicaSettings
from engine.speech import Style
from tests.support.counting_engine import CountingEngine, counted
from tests.support.waiting import until

if TYPE_CHECKING:
    from engine.fleet.deployment import Plan

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="no Ray: pip install '.[ray]'"),
    pytest.mark.xdist_group("ray"),  # one Ray for all of them
]
ROOT = Path(__file__).parents[3]
PATIENCE_S = 150
"""Ray starts a replica in some 8 s; beside other work it has taken 95."""
WORDS = 100
SENTENCE = " ".join(["word"] * WORDS)
PIECE_S = 0.01
"""A sentence takes some 5 s: another replica is started meanwhile."""


GPUS = 3


class TellsWhereItIs(CountingEngine):
    """Has a process of its own, as a model has. Tells as its model its process, and which GPUs the model's sees."""

    MODEL = """
import os
from engine.child import connect, pack, read

told, answers = connect()
answers.write(pack(os.environ.get("CUDA_VISIBLE_DEVICES")))
answers.flush()
read(told)
"""

    async def start(self):
        self._model = await ChildProcess.spawn("-c", self.MODEL)
        self._gpus = await self._model.receive()

    async def close(self):
        await self._model.close()

    def status(self):
        status = super().status()
        object.__setattr__(status, "model_id", f"{os.getpid()} {self._gpus}")
        return status


def plan(replicas: int = 2, most: int = GPUS, drain_s: float = 30.0) -> Plan:
    from engine.fleet.deployment import Plan

    settings = ReplicaSettings(
        engine_port=0,
        engine_min_replicas=replicas,
        engine_max_replicas=most,
        engine_scale_up_s=1.0,
        engine_scale_down_s=3_600.0,
    )
    return Plan(partial(TellsWhereItIs, PIECE_S, 4), settings, "", drain_s, gpus=1.0)


@pytest.fixture(scope="module")
def deploy(unused_tcp_port_factory) -> Iterator[Callable[..., str]]:
    """Has a Ray of these tests start replicas, and tells where they are listed. It believes in three GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        quick = str(ROOT / "tests" / "support" / "quick_ray")
        patch.syspath_prepend(quick)
        patch.setenv("PYTHONPATH", f"{quick}:{ROOT}")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        import ray
        from ray import serve

        from engine.fleet.deployment import deploy_replicas

        port = unused_tcp_port_factory()

        def deploy(plan: Plan, tell: Callable[[str], object] = print) -> str:
            deploy_replicas(plan, "127.0.0.1", port, tell)
            return f"http://127.0.0.1:{port}/replicas"

        ray.init(
            num_cpus=GPUS + 1,
            num_gpus=GPUS,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
        )
        try:
            yield deploy
        finally:
            serve.shutdown()
            ray.shutdown()


@pytest.fixture(scope="module")
def listed_at(deploy: Callable[..., str]) -> str:
    """Where Ray lists two replicas, each of which keeps up with four sentences."""
    return deploy(plan())


@pytest.fixture
async def engine(listed_at: str) -> AsyncIterator[ReplicasEngine]:
    engine = ReplicasEngine([], listed_at=listed_at, start_s=PATIENCE_S, chance=Random(3))
    await engine.start()
    await until(lambda: len(up(engine)) >= 2, PATIENCE_S)
    yield engine
    await engine.close()


def up(engine: ReplicasEngine) -> dict[str, int]:
    """The process of each replica that speaks, by its address."""
    return {str(each.address): int(each.model_id.split()[0]) for each in engine._replicas if each.up}


def gpus(engine: ReplicasEngine) -> list[str]:
    """What each of them sees of the GPUs."""
    return sorted(each.model_id.split()[1] for each in engine._replicas if each.up)


def speaking(engine: ReplicasEngine) -> list[str]:
    return [each["replica"] for each in engine.status().details["replicas"] if each.get("sentences")]


async def said(engine: ReplicasEngine, listener: str) -> np.ndarray:
    return np.concatenate([pcm async for pcm in engine.stream(SENTENCE, Style(listener=listener))])


async def test_a_bridge_learns_all_replicas_and_no_sound_goes_through_ray(engine, listed_at):
    async with aiohttp.ClientSession() as http, http.get(listed_at) as response:
        assert sorted((await response.json())["replicas"]) == sorted(up(engine))
    assert len(set(up(engine).values())) == 2, "each is a process of its own"
    assert np.array_equal(await said(engine, "call"), counted(WORDS))


async def test_each_replica_has_a_gpu_of_its_own(engine):
    assert len(set(gpus(engine))) == len(gpus(engine))
    assert set(gpus(engine)) < {"0", "1", "2"}, "and sees no other"


async def test_a_replica_that_is_killed_costs_no_word_and_ray_starts_another(engine):
    call = asyncio.create_task(said(engine, "call"))
    await until(lambda: len(up(engine)) == 2 and speaking(engine), PATIENCE_S)
    (address,), before = speaking(engine), up(engine)
    os.kill(before[address], signal.SIGKILL)
    assert np.array_equal(await call, counted(WORDS))
    assert engine.status().details["sentences_moved"] == 1
    await until(lambda: len(up(engine)) == 2, PATIENCE_S)
    assert len(set(up(engine).values()) - set(before.values())) == 1


async def test_more_is_spoken_and_ray_starts_one_more(engine):
    """It is told three at most; eight sentences at once are more than 70 % of the places of two."""
    calls = [asyncio.create_task(said_again(engine, f"call {number}")) for number in range(8)]
    try:
        await until(lambda: len(up(engine)) == 3, PATIENCE_S)
        assert len(set(up(engine).values())) == 3, "each is a process of its own"
        assert gpus(engine) == ["0", "1", "2"]
        assert not any(call.done() for call in calls), "and all of them go on speaking"
    finally:
        for call in calls:
            call.cancel()


async def said_again(engine: ReplicasEngine, listener: str) -> None:
    while True:
        await said(engine, listener)


async def test_new_replicas_take_the_gpus_of_old_ones_and_no_sentence_is_cut_off(engine, deploy):
    """Four are wanted and all three GPUs are taken: three are replaced one after the other, and one waits."""
    before, told = set(up(engine).values()), list[str]()
    calls = [asyncio.create_task(said(engine, f"call {number}")) for number in range(4)]
    await until(lambda: len(speaking(engine)) >= 2, PATIENCE_S)
    await asyncio.to_thread(deploy, plan(4, 4, drain_s=1.0), told.append)  # Ray has the one that waits drain too
    (line,) = told
    assert line.startswith("3 of 4 replicas have a place. Each takes 1 GPU (the cluster has 3), so others wait")
    for heard in await asyncio.gather(*calls):
        assert np.array_equal(heard, counted(WORDS))
    assert engine.status().details["sentences_moved"] == 0
    await until(lambda: len(up(engine)) == 3 and not before & set(up(engine).values()), PATIENCE_S)
    assert gpus(engine) == ["0", "1", "2"]
