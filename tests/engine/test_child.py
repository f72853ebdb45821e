"""A child process: what it is sent, what it answers and logs, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.child import ChildLost, ChildProcess

ECHO = """
import logging, os, sys, structlog
from engine.child import connect, pack, read, send_logs

told, answers = connect(niceness=3)

def send(message):
    answers.write(pack(message))
    answers.flush()

send_logs(send, chatty=("parrot",))
print("not a message")
while (message := read(told)) is not None:
    if message == "log":
        structlog.get_logger("ours").warning("something is odd", number=7)
        logging.getLogger("parrot").warning("hello hello")
        logging.getLogger("library").warning("it is %s", "theirs")
        try:
            1 / 0
        except ZeroDivisionError:
            structlog.get_logger("ours").exception("it broke")
    if message == "end":
        sys.exit(7)
    send((message, os.getpriority(os.PRIO_PROCESS, 0)))
"""


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[ChildProcess]:
    (tmp_path / "echo.py").write_text(ECHO)
    child = await ChildProcess.spawn(str(tmp_path / "echo.py"), environment={"SAID": "hello"})
    yield child
    await child.close()
    assert child.gone


async def test_messages_go_both_ways_and_what_it_prints_is_none(child: ChildProcess) -> None:
    child.send({"large": b"x" * 1_000_000})
    answer, niceness = await child.receive()
    assert answer == {"large": b"x" * 1_000_000}
    assert niceness == min(19, max(0, os.getpriority(os.PRIO_PROCESS, 0)) + 3)
    assert Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0").count(b"SAID=hello") == 1  # noqa: ASYNC240


async def test_no_message_is_lost_by_who_stops_waiting_for_it(child: ChildProcess) -> None:
    child.send("first")
    await child.receive()
    for number in range(20):
        waiting = asyncio.create_task(child.receive())
        child.send(b"x" * 300_000)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        stopped = waiting.cancel()
        (got,) = await asyncio.gather(waiting, return_exceptions=True)
        message = await child.receive() if stopped and isinstance(got, asyncio.CancelledError) else got
        assert message[0] == b"x" * 300_000


async def test_what_it_logs_stands_in_the_log_here(child: ChildProcess, logged: list[Any]) -> None:
    child.send("log")
    assert (await child.receive())[0] == "log"
    assert logged[:2] == [
        {"event": "something is odd", "number": 7, "log_level": "warning"},
        {"event": "it is theirs", "log_level": "warning"},
    ]
    assert (logged[2]["event"], logged[2]["log_level"]) == ("it broke", "error")
    assert "ZeroDivisionError" in logged[2]["exception"]
    assert len(logged) == 3, "a chatty library is heard of when it fails"


async def test_its_end_is_told_with_its_status_and_it_is_sent_nothing_more(child: ChildProcess) -> None:
    child.send("end")
    with pytest.raises(ChildLost, match="ended unexpectedly, with status 7"):
        await child.receive()
    child.send("after the end")


async def test_only_its_parent_ends_it(child: ChildProcess) -> None:
    child.send("it runs")
    await child.receive()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        os.kill(child.pid, number)
    child.send("still")
    assert (await child.receive())[0] == "still"
    await child.close(grace_s=10)
    assert await child.wait() == 0, "by itself, once it was told nothing more"


async def test_it_inherits_neither_keys_nor_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (
        "API_KEY",
        "ASR_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "SIP_SECRET",
        "XDG_PASSWORD",
        "PGPASSWORD",
    )
    for name in (*secrets, "WEBHOOK_URL", "ASR_URL", "SYSTEM_PROMPT", "CUDA_API_KEY", "STRANGE"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("HF_HOME", "/models")
    (tmp_path / "echo.py").write_text(ECHO)
    child = await ChildProcess.spawn(str(tmp_path / "echo.py"), environment={"OMP_NUM_THREADS": "1"})
    try:
        child.send("it runs")
        await child.receive()
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()  # noqa: ASYNC240
    finally:
        await child.close()
    assert b"planted" not in environment
    assert {b"OMP_NUM_THREADS=1", b"HF_HOME=/models"} <= set(environment.split(b"\0"))
