"""A real Prometheus reads a real server's metrics, and each alert fires by the fault that it is for.

In the rules a minute is a second here: windows, `for:` and all. Nothing else of them is changed.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from bridge.converse.server_process import ServerProcess, running_server
from tests.support.asterisk.asterisk import free_port
from tests.support.debian_package import installed
from tests.support.fakes import Asterisk
from tests.support.llm_server import Answer, LlmServer
from tests.support.redis_server import RedisServer
from tests.support.replica_process import ReplicaProcess

RULES: Final = Path(__file__).parents[1] / "docs" / "grafana" / "alerts.yaml"
STALL_S: Final = 0.09
"""How long the machine stands still: over 60 ms, after which frames are left out."""
SLOW_S: Final = 2.3
"""How long the model takes that makes callers wait."""
OF_A_BUSY_MACHINE: Final = {"TalkspurtClockLate", "TalkspurtFramesMissed", "TalkspurtUnderruns"}
"""Alerts that are right to fire while other tests have the cores; that they do not otherwise is in test_grafana.py."""
LAST: Final = {"TalkspurtReplicaDown", "TalkspurtRedisDown", "TalkspurtDown"}
"""Alerts whose faults would keep the others from firing."""
EVENTS: Final = ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped")
SAID: Final = "conversation.item.input_audio_transcription.completed"


def model(messages: list[dict[str, Any]]) -> Answer:
    """A model that is slow, or answers with an error, where the caller says so."""
    said = messages[-1]["content"]
    return Answer("Yes.", first_token_s=SLOW_S if "slow" in said else 0.0, status=400 if "fail" in said else 200)


def alerts() -> set[str]:
    return {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = url, http
        self.fired: set[str] = set()
        """The alerts that have fired."""

    async def ask(self, path: str, **query: str) -> Any:
        async with self._http.get(f"{self._url}/api/v1/{path}", params=query) as response:
            return (await response.json())["data"]

    async def look(self) -> None:
        told = (await self.ask("alerts"))["alerts"]
        self.fired |= {one["labels"]["alertname"] for one in told if one["state"] == "firing"}

    async def until(self, expected: set[str]) -> None:
        """Waits until these alerts have fired; looks as often as the rules are evaluated."""
        while not expected <= self.fired:
            await asyncio.sleep(0.25)
            await self.look()


@asynccontextmanager
async def watching(server: ServerProcess, folder: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that reads the server's metrics, with a minute of the rules in a second."""
    program = installed("prometheus", "prometheus")
    (folder / "rules.yaml").write_text(re.sub(r"(?<=\[)(\d+)m(?=\])|(?<=for: )(\d+)m", r"\1\2s", RULES.read_text()))
    every = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    target = {"job_name": "talkspurt", "static_configs": [{"targets": [server.http_url.partition("://")[2]]}]}
    config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [target]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        *(program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
        f"--web.listen-address={address}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus(f"http://{address}", http)
            while not await _is_up(prometheus):
                assert process.returncode is None, "Prometheus does not start"
                await asyncio.sleep(0.1)
            yield prometheus
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _is_up(prometheus: Prometheus) -> bool:
    """Tells whether it has read the server's metrics."""
    try:
        return bool((await prometheus.ask("query", query='up{job="talkspurt"} == 1'))["result"])
    except (aiohttp.ClientError, KeyError):
        return False


class Caller:
    """One caller, whose call is over when it is left."""

    def __init__(self, server: ServerProcess, http: aiohttp.ClientSession) -> None:
        self._server, self._http = server, http

    async def __aenter__(self) -> Caller:
        self._peer = await Asterisk.connect(self._server.port)
        self._peer.send_audio()
        while await self.post("events", {"type": EVENTS[1]}) == 404:  # not begun yet
            await self._peer.receive()
        self._reading = asyncio.create_task(self._read())
        self._sounding = asyncio.Event()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._peer.close()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        while (message := await self._peer.receive()) is not None:
            if any(message.payload):
                self._sounding.set()

    async def post(self, what: str, body: Any) -> int:
        async with self._http.post(f"/v1/calls/{self._peer.id}/{what}", json=body) as response:
            return response.status

    async def hear(self) -> None:
        """Waits for sound of the agent's."""
        self._sounding.clear()
        await self._sounding.wait()

    async def say(self, text: str) -> None:
        for kind in EVENTS:
            await self.post("events", {"type": kind})
        await self.post("events", {"type": SAID, "transcript": text})

    async def left(self) -> None:
        """Waits until the server has ended the call."""
        await asyncio.gather(self._reading, return_exceptions=True)


async def wait_for_slow_answers(caller: Caller, pid: int) -> None:
    await caller.say("Be slow.")
    await caller.hear()


async def interrupt_while_the_machine_stands_still(caller: Caller, pid: int) -> None:
    """The frame that would fade the sound out comes late."""
    await caller.post("say", {"text": "One two three four five six seven eight nine ten."})
    await caller.hear()
    await caller.post("interrupt", {})
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(STALL_S)
    os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(0.2)


async def again(
    server: ServerProcess, http: aiohttp.ClientSession, act: Callable[[Caller, int], Awaitable[None]]
) -> None:
    """One call in which this happens again and again."""
    async with Caller(server, http) as caller:
        while True:
            await act(caller, server.pid)


async def hear_the_spare_voice(caller: Caller, pid: int) -> None:
    await caller.post("say", {"text": "It is broken."})
    await caller.hear()
    await asyncio.sleep(1)


async def hear_gaps(caller: Caller, pid: int) -> None:
    """Speech that is not made in time. The call goes on: the gaps count as they are heard."""
    await caller.post("say", {"text": "Slow speech with gaps."})
    await caller.hear()
    await asyncio.sleep(1)


async def take_the_last_place(server: ServerProcess, http: aiohttp.ClientSession) -> None:
    """Calls one after the other, while another is refused, and whose model then fails."""
    while True:
        async with Caller(server, http) as caller:
            refused = await Asterisk.connect(server.port)
            await refused.drain()
            await refused.close()
            await caller.say("Please fail.")
            await caller.left()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[ReplicaProcess]:
    process = ReplicaProcess(tmp_path, "replica", module="tests.support.moody_engine")
    process.begin()
    process.ready()
    yield process
    process.kill()


@pytest.mark.timeout(120)
async def test_each_alert_fires_by_the_fault_that_it_is_for(
    tmp_path: Path, redis: RedisServer, replica: ReplicaProcess
) -> None:
    async with LlmServer(respond=model) as llm:
        settings = {"ENGINE": "remote", "ENGINE_URLS": str(replica.address)}
        settings |= {"LLM_BASE_URL": llm.url, "LLM_MODEL": "m"}
        settings |= {
            "REDIS_URL": redis.url,
            "MAX_CALLS": "5",
            "APOLOGY": "No.",
            "FILLER": "",
            "EARLY_ANSWER_MS": "0",
            "AUDIO_CACHE_MAX": "0",
        }
        async with running_server(**settings) as server, watching(server, tmp_path) as prometheus:
            async with aiohttp.ClientSession(server.http_url) as http:
                async with Caller(server, http) as caller:
                    await caller.say("Hello.")
                    await caller.hear()
                    await asyncio.sleep(1)
                await prometheus.look()
                assert prometheus.fired <= OF_A_BUSY_MACHINE, "nothing was wrong with the server and its services"
                acts = (
                    wait_for_slow_answers,
                    interrupt_while_the_machine_stands_still,
                    hear_the_spare_voice,
                    hear_gaps,
                )
                faults = [asyncio.create_task(again(server, http, act)) for act in acts]
                faults.append(asyncio.create_task(take_the_last_place(server, http)))
                watch = asyncio.create_task(prometheus.until(alerts() - LAST))
                try:
                    await asyncio.wait((watch, *faults), timeout=60, return_when=asyncio.FIRST_COMPLETED)
                    assert watch.done(), f"not fired: {alerts() - LAST - prometheus.fired}; {faults}"
                finally:
                    for task in (watch, *faults):
                        task.cancel()
                    await asyncio.gather(watch, *faults, return_exceptions=True)
            async with asyncio.timeout(20):
                replica.kill()
                redis.kill()
                await prometheus.until(LAST - {"TalkspurtDown"})
                os.kill(server.pid, signal.SIGKILL)
                await prometheus.until(LAST)
    assert prometheus.fired == alerts()
