"""What systemd is told, and that a server that hangs no longer tells it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.line.clock import Clock
from bridge.service_manager import notifier, watchdog
from tests.support.asterisk.talkspurt import running

WATCHDOG_S = 2.0
PATIENCE_S = 20.0


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd hears of a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(PATIENCE_S)
        yield receiver


def address(systemd: socket.socket) -> str:
    return str(systemd.getsockname())


def words(systemd: socket.socket) -> int:
    """How often the server says that it is alive before it says nothing for a while."""
    told = 0
    with contextlib.suppress(TimeoutError, BlockingIOError):
        while systemd.recv(100) == b"WATCHDOG=1" and told < 10:
            told += 1
    return told


def test_a_server_tells_that_it_is_ready_and_alive_until_it_hangs(systemd: socket.socket, tmp_path: Path) -> None:
    watched = {"NOTIFY_SOCKET": address(systemd), "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
    with running(tmp_path, DRAIN_TIMEOUT="4", **watched) as server:
        assert systemd.recv(100) == b"READY=1"
        assert {systemd.recv(100) for _ in range(3)} == {b"WATCHDOG=1"}
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            systemd.settimeout(WATCHDOG_S)
            assert words(systemd) <= 3, "what was under way"
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        systemd.settimeout(PATIENCE_S)
        assert systemd.recv(100) == b"WATCHDOG=1"
        server.process.terminate()
        while (line := systemd.recv(100)) == b"WATCHDOG=1":
            pass
        assert line == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=19000000"


def test_the_word_comes_from_the_clock_and_only_while_it_runs(systemd: socket.socket) -> None:
    notify = notifier({"NOTIFY_SOCKET": address(systemd)})
    assert notify is not None
    tick = watchdog(notify, {"WATCHDOG_USEC": "4000000"})
    assert tick is not None
    clock = Clock()
    clock.join(tick, 0.0)
    for now in range(50 * 4 + 1):
        clock.run(now * 0.02)
    systemd.setblocking(False)
    assert words(systemd) == 4


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_nobody_is_told(environment: dict[str, str]) -> None:
    assert notifier(environment) is None


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}])
def test_without_a_watchdog_the_clock_is_not_asked(environment: dict[str, str]) -> None:
    assert watchdog(lambda line: None, environment) is None


def test_systemd_that_does_not_listen_does_no_harm(tmp_path: Path) -> None:
    notify = notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert notify is not None
    notify("READY=1")
