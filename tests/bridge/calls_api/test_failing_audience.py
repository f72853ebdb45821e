"""Somebody who is told of a call and fails at it: the call goes on, the others are told all, and nothing is left."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.calls_api import event_socket
from bridge.line.audiosocket import Kind
from tests.bridge.calls_api.test_events import LINE
from tests.support.waiting import until
from tests.support.whole_app import Bench, whole_app

FAILED = "somebody who is told of a call fails at it"
PATIENCE_S = 30


class Failing:
    """Fails at all that it is told."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self, told: Any) -> None:
        self.told += 1
        raise KeyError("nobody foresaw this")


async def all_of_a_call(bench: Bench, audience: str, failing: Failing) -> tuple[list[str], list[str]]:
    """A call at whose every line somebody fails: the kinds of lines that a socket was sent, and those that are kept."""
    peer = await bench.call()
    journal = bench.app.calls.find(peer.id).journal
    others = journal.audience
    getattr(journal, audience).insert(0, failing)
    async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events?journal=1") as socket:
        sent = [(await socket.receive_json(timeout=PATIENCE_S))["type"]]
        await bench.post(f"/v1/calls/{peer.id}/say", {"text": LINE})
        await peer.hear(voiced=True)
        peer.send(Kind.DTMF, b"5")
        while "dtmf" not in sent:
            sent.append((await socket.receive_json(timeout=PATIENCE_S))["type"])
        assert (await bench.get(f"/v1/calls/{peer.id}"))["state"] == "active"
        await bench.ended(peer)
        while "call.ended" not in sent:
            sent.append((await socket.receive_json(timeout=PATIENCE_S))["type"])
    await until(lambda: journal.audience == others + 1)
    return sent, [json.loads(line)["type"] for line in journal.lines]


def sending() -> list[asyncio.Task[Any]]:
    """The tasks that send events to somebody."""
    return [task for task in asyncio.all_tasks() if "_send" in repr(task) and event_socket.__file__ in repr(task)]


def recorded(folder: Path) -> list[str]:
    """The kinds of lines in the file of the one call that was recorded."""
    (file,) = folder.glob("*.jsonl")
    return [json.loads(line)["type"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("audience", ["observers", "listeners", "followers", "readers"])
async def test_a_call_goes_on_and_ends_as_others_do(audience: str, tmp_path: Path) -> None:
    failing = Failing()
    with capture_logs() as logs:
        async with whole_app(record_dir=tmp_path) as bench:
            sent, kept = await all_of_a_call(bench, audience, failing)
            await until(lambda: not sending())
    assert failing.told > 1, "it is told on"
    assert sent[: kept.index("call.ended") + 1] == kept[: kept.index("call.ended") + 1], "nobody else missed anything"
    assert recorded(tmp_path) == kept
    assert len([line for line in logs if line["event"] == FAILED]) == 1, "the log is not filled by it"
    assert not [line for line in logs if line["log_level"] == "error" and line["event"] != FAILED]


async def test_events_that_cannot_be_sent_end_their_socket_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: Any) -> Any:
        raise OSError("nobody foresaw this")
        yield ""

    with capture_logs() as logs:
        async with whole_app() as bench:
            peer = await bench.call()
            monkeypatch.setattr(event_socket._Follower, "_lines", fail)
            async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events?journal=1") as socket:
                await socket.receive(PATIENCE_S)
                assert socket.closed
            assert (await bench.get(f"/v1/calls/{peer.id}"))["state"] == "active"
            await until(lambda: not bench.app.calls.find(peer.id).journal.followers)
            await until(lambda: not sending())
            await bench.ended(peer)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["events are sent no further"]
