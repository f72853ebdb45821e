"""Asterisk and Redis for the tests; which tests need the clock to themselves or take long; how the cores are shared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.fetch import Installation, Unavailable, fetch
from tests.support.draws import settle_draws
from tests.support.redis_server import RedisServer

HERE = Path(__file__).parent
CALLS = ("asterisk", "scenes")
"""What calls through Asterisk at the pace of a telephone line. One process runs all of it, one test after the other."""
LINES = (
    "bridge/converse/test_calls.py", "bridge/converse/test_server_process.py",
    "bridge/conversation/realtime/test_realtime.py", "bridge/demo", "bridge/dial",
    "bridge/hearing/asr/test_embedded.py", "bridge/hearing/asr/test_services.py", "bridge/line/test_server.py",
    "bridge/workers/test_serving.py", "cluster/test_cluster.py", "test_prometheus.py",
)  # fmt: skip
"""What plays or listens at that pace without an Asterisk. Another process runs all of it, likewise."""
REALTIME = CALLS + LINES
SLOW = (
    "bridge/brains/mcp/test_servers.py", "bridge/calls_api/test_document.py", "bridge/cluster/test_hung.py",
    "bridge/cluster/test_workers.py", "bridge/test_app.py",
    "cluster/test_cluster.py", "engine/api/test_embedded.py", "engine/fleet/test_ray.py",
    "engine/hibari/test_hibari.py", "engine/hibari/test_synthesis.py", "engine/qwen3/batch/test_runner.py",
    "engine/qwen3/cuda/test_graph_runner.py", "engine/qwen3/cuda/test_prefill.py",
    "engine/qwen3/host/test_process.py", "engine/qwen3/kernels/test_bounds.py", "engine/qwen3/kernels/test_builds.py",
    "engine/qwen3/model/test_checkpoint.py", "engine/qwen3/model/test_compile.py", "engine/qwen3/model/test_frame.py",
    "engine/qwen3/worker/test_main.py", "engine/qwen3/worker/test_worker.py", "engine/replicas/test_processes.py",
    "engine/web/test_openapi.py",
    "fuzz", "packaging/test_deb.py", "packaging/test_supply_chain.py",
)  # fmt: skip
"""What compiles or interprets kernels, runs models for long, has much spoken or recognized, asks thousands of
questions, or builds a package."""
SLOW_TIMEOUT_S = 600
"""The slowest of them takes 20 s on two free cores, and took over 120 s beside eight other processes."""
VOICED = ("engine/hibari", "engine/qwen3/host/test_engine.py", "bridge/commands/test_say.py", "bridge/test_app.py")
"""What has the embedded voice speak, whose worker is given up after 3 s of silence: too little on a busy machine."""
PEERS = (
    "bridge/cluster", "bridge/console/test_page.py", "bridge/workers/test_taking_over.py",
    "bridge/console/test_rights.py", "bridge/console/test_workers.py",
    "engine/api/test_voice_agents.py", "engine/fleet/test_ray.py", "engine/replicas/test_processes.py",
    "engine/web/test_page.py", "faults/test_wire.py",
)  # fmt: skip
"""What has whole programs beside it, browsers and Ray among them, which give up by their own clocks. So does whoever
speaks with a replica: it takes one of which nothing has come for half a second for dead."""
RERUNS = 2
"""How often a test that depends on the machine's pace is run again. Each failure is printed, with the load."""
NICE = 3
"""Enough for others to go first, and not so much that nothing is left on a machine that is busy with something else."""


def _is_within(item: pytest.Item, places: tuple[str, ...]) -> bool:
    return any(item.path.is_relative_to(HERE / place) for place in places)


def pytest_configure(config: pytest.Config) -> None:
    missing = [place for place in REALTIME + SLOW + VOICED + PEERS if not (HERE / place).exists()]
    if missing:
        raise pytest.UsageError(f"tests/conftest.py names what is not there: {', '.join(missing)}")
    settle_draws(config.getoption("--hypothesis-seed"))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_within(item, REALTIME):
            item.add_marker(pytest.mark.realtime)
            item.add_marker(pytest.mark.xdist_group("calls" if _is_within(item, CALLS) else "lines"))
        if _is_within(item, REALTIME + VOICED + PEERS):
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))
        if _is_within(item, SLOW):
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Lets what plays in real time go first, for good: a process that has come to the other tests keeps to them."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.get_closest_marker("realtime"):
        os.nice(max(0, NICE - os.nice(0)))


def pytest_runtest_logreport(report: Any) -> None:
    if report.outcome == "rerun":
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"\n{report.nodeid} failed under a load of {load} and is run once more:\n{report.longreprtext}")


@pytest.fixture(autouse=True)
def default_log() -> Iterator[None]:
    """A command that sets up its log in one test hides no lines from the next."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that nobody takes meanwhile: that of pytest-asyncio's fixture is one of the kernel's."""
    return free_port()


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    return free_port


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for a module."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def installation() -> Installation:
    try:
        return fetch()
    except Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no Asterisk: {error}")
        pytest.skip(f"no Asterisk: {error}")


@pytest.fixture(scope="session")
def asterisk(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    instance = Asterisk(installation, tmp_path_factory.mktemp("asterisk"))
    instance.start()
    yield instance
    instance.stop()
