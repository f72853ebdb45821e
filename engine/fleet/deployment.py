"""Replicas that Ray Serve places, watches, replaces and scales. Their sound never goes through Ray.

Ray starts a process for each and gives it a GPU. The process listens at a port of its own, as `talkspurt engine` does,
and bridges speak with it there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import ray
from ray import serve

from engine.errors import first_line
from engine.fleet.directory import NOTE_EVERY_S, Directory
from engine.fleet.health import ask
from engine.fleet.shortage import fitting, shortage
from engine.fleet.sizing import PLACES, SENTENCES, CallsSpeaking, at_first
from engine.fleet.station import Station
from engine.replicas.address import Address
from engine.replicas.settings import ReplicaSettings
from engine.speech import Engine, SpeechError

APPLICATION: Final = "talkspurt"
DIRECTORY: Final = "directory"
SPEAKER: Final = "speaker"
ROUTE: Final = "/replicas"
HEALTH_EVERY_S: Final = 2.0
"""How often Ray asks a replica. Three times in a row without an answer, and another takes its place."""
HEALTH_S: Final = 5.0
"""How long a replica may take to answer Ray. One that hangs is replaced after some 20 s; Ray would wait a minute and a
half."""
UNREADY_S: Final = 120.0
"""An engine starts its model again by itself. One that has not come back after so long needs another process."""
ANSWER_S: Final = 2.0
"""How long the directory may take to answer a replica."""
CLOSE_S: Final = 10.0
"""How long closing may take once a replica has drained."""
LOOK_S: Final = 0.1
"""How often it is looked whether they speak."""
ANY: Final = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class Plan:
    """What Ray is to start. It travels to the machines on which replicas run."""

    create: Callable[[], Engine]
    """Makes the engine there."""
    replica: ReplicaSettings
    token: str
    drain_s: float
    gpus: float
    """The GPUs of one replica."""
    prepare: Callable[[], object] = lambda: None
    """Sets up what a process needs, its log for example."""

    @property
    def needs(self) -> dict[str, float]:
        """What Ray has to have free for a replica, by Ray's names."""
        return {"CPU": 1.0, "GPU": self.gpus}


class Speaker:
    """A replica, in a process that Ray has started."""

    async def __init__(self, plan: Plan) -> None:  # type: ignore[misc]  # Ray awaits it
        plan.prepare()
        self._plan = plan
        self._station = Station(plan.create(), plan.replica, plan.token)
        self._port = await self._station.start(any_port=True)
        host = plan.replica.engine_host
        self._own_host = host if host not in ANY else "::1" if host == "::" else "127.0.0.1"
        named = ray.util.get_node_ip_address() if host in ANY else host  # type: ignore[no-untyped-call]
        self.address = str(Address(named, self._port, tls=False))
        self._ready_s = time.monotonic()
        self._noting = asyncio.get_running_loop().create_task(self._note())

    async def check_health(self) -> None:
        """Tells Ray by an exception that another is to take its place."""
        token, now_s = self._plan.token, time.monotonic()
        if await ask(self._own_host, self._port, token, tls=self._station.tls is not None):
            self._ready_s = now_s
        elif now_s - self._ready_s > UNREADY_S:
            raise SpeechError(f"its engine has not been ready for {UNREADY_S:g} s")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tells Ray how much is spoken: it sees none of it."""
        status = self._station.engine.status()
        return {
            SENTENCES: float(max(self._station.server.sentences, status.queue_depth)),
            PLACES: float(status.capacity or 0),
        }

    async def __del__(self) -> None:
        """Lets every sentence end: Ray awaits this before it ends the process."""
        self._noting.cancel()
        with suppress(Exception):  # the directory may be gone before the last replica
            async with asyncio.timeout(ANSWER_S):
                await self._directory().leave.remote(self.address)
        await self._station.server.drain(self._plan.drain_s)
        await self._station.close()

    async def _note(self) -> None:
        """Says again and again that this one is there; a directory that does not answer hears of it later."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._directory().note.remote(self.address)
            except Exception as error:
                print(f"the directory of replicas does not answer: {first_line(error)}")
            await asyncio.sleep(NOTE_EVERY_S)

    @staticmethod
    def _directory() -> Any:
        return serve.get_deployment_handle(DIRECTORY, APPLICATION)


class Ingress(Directory):
    """The directory as Ray Serve's way in."""

    def __init__(self, speaker: Any) -> None:
        """`speaker` is not asked: Ray starts what is bound to its way in, and nothing else."""
        super().__init__()


def deploy_replicas(plan: Plan, host: str, port: int, tell: Callable[[str], object] = print) -> None:
    """Starts the replicas, or replaces those that run, one after the other, and waits until they speak.

    Bridges are told of them at `host` and `port`. Where the cluster is too small for all of them it tells what the
    others wait for. Raises SpeechError where they cannot be started, and whatever else Ray raises.
    """
    serve.start(http_options={"host": host, "port": port})
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if line := shortage(plan.replica.engine_min_replicas, plan.needs, there):
        tell(line)
    target = serve.RunTarget(_application(plan, _now(), fitting(plan.needs, there)), APPLICATION, ROUTE)
    serve.run_many([target], wait_for_applications_running=False)
    while True:
        application = serve.status().applications.get(APPLICATION)
        if application is None:
            raise SpeechError("the replicas were shut down before all of them spoke")
        if application.status == "RUNNING":
            return
        if application.status == "DEPLOY_FAILED":
            raise SpeechError(f"Ray does not start the replicas: {application.message}")
        time.sleep(LOOK_S)


def _now() -> int:
    """Returns how many replicas there are, those that start included."""
    application = serve.status().applications.get(APPLICATION)
    speakers = application.deployments.get(SPEAKER) if application is not None else None
    states: Mapping[Any, int] = speakers.replica_states if speakers is not None else {}
    return sum(number for state, number in states.items() if state != "STOPPING")


def _application(plan: Plan, now: int, fits: int) -> serve.Application:
    replica = plan.replica
    least, fits = replica.engine_min_replicas, max(1, fits)
    most = max(least, replica.engine_max_replicas)
    deployment: Any = serve.deployment  # its own types take one argument alone
    speaker = deployment(
        Speaker,
        name=SPEAKER,
        ray_actor_options={"num_cpus": plan.needs["CPU"], "num_gpus": plan.needs["GPU"]},
        autoscaling_config={
            "min_replicas": min(least, fits),
            "initial_replicas": at_first(now, least, most, fits),
            "max_replicas": most,
            "policy": {
                "policy_function": CallsSpeaking,
                "policy_kwargs": {
                    "per_replica": replica.engine_sentences_per_replica,
                    "least": least,
                    "fits": fits,
                },
            },
            "look_back_period_s": replica.engine_scale_up_s,
            "upscale_delay_s": replica.engine_scale_up_s,
            "downscale_delay_s": replica.engine_scale_down_s,
        },
        health_check_period_s=HEALTH_EVERY_S,
        health_check_timeout_s=HEALTH_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=plan.drain_s + CLOSE_S,
    ).bind(plan)
    directory = deployment(Ingress, name=DIRECTORY, ray_actor_options={"num_cpus": 0})
    return cast(serve.Application, directory.bind(speaker))


def gpus_of(engine: str, device: str) -> float:
    """Returns the GPUs that a replica takes: one where its engine runs on CUDA."""
    there = ray.cluster_resources().get("GPU", 0) > 0  # type: ignore[no-untyped-call]
    return 1.0 if device.startswith("cuda") and (engine == "qwen3" or (engine == "auto" and there)) else 0.0
