"""A call is placed over HTTP; what was given with it is the call's when it connects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.whole_app import Bench, whole_app


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "outgoing"
    folder.mkdir()
    return folder


@pytest.fixture
async def bench(spool: Path) -> AsyncIterator[Bench]:
    async with whole_app(outbound_spool=spool, outbound_allow="2??", greeting="Hello {name}, about {what}.") as bench:
        yield bench


def texts(spool: Path) -> list[str]:
    """What Asterisk has been told."""
    return [file.read_text() for file in spool.iterdir()]


async def test_who_answers_talks_with_an_agent_that_knows_why_it_calls(bench: Bench, spool: Path) -> None:
    status, placed = await bench.post(
        "/v1/outbound-calls", {"to": "201", "variables": {"name": "Ann", "what": "the bill"}}
    )
    assert (status, placed["to"]) == (202, "201")
    (text,) = texts(spool)
    assert f"Setvar: __TS_OUTBOUND={placed['id']}\n" in text
    # What the printed dialplan does when somebody has answered: it knows the number only.
    status, _ = await bench.post("/v1/calls", {"id": placed["id"], "from": "5550100", "to": "", "name": "", "line": ""})
    assert status == 201
    peer = await bench.call_named(placed["id"])
    await peer.hear(voiced=True)
    assert bench.engine.spoken == [("Hello Ann, about the bill.", "")]
    variables = (await bench.get(f"/v1/calls/{peer.id}"))["conversation"]["variables"]
    assert {name: variables[name] for name in ("from", "to", "direction")} == {
        "from": "5550100", "to": "201", "direction": "outbound",
    }  # fmt: skip
    await peer.close()


async def test_who_has_answered_is_not_told_as_unanswered_where_the_server_is_full_by_then(spool: Path) -> None:
    async with whole_app(outbound_spool=spool, outbound_allow="2??", max_calls=1) as bench:
        _, placed = await bench.post("/v1/outbound-calls", {"to": "201"})
        peer = await bench.call()
        status, _ = await bench.post("/v1/calls", {"id": placed["id"], "from": "5550100"})
        assert status == 503
        assert not bench.app.outbound.any_awaited
        await peer.close()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"to": "301"}, "to"),
        ({"to": "201@elsewhere"}, "to"),
        ({"to": 201}, "to"),
        ({}, "to"),
        ({"to": "201", "ring_s": 0}, "ring_s"),
        ({"to": "201", "retries": 1000}, "retries"),
        ({"to": "201", "variables": {"a b": "c"}}, None),
        ({"to": "201", "when": "tomorrow"}, "when"),
    ],
)
async def test_a_wrong_request_is_400_and_asterisk_is_told_nothing(
    bench: Bench, spool: Path, body: dict[str, Any], param: str | None
) -> None:
    status, answer = await bench.post("/v1/outbound-calls", body)
    assert status == 400
    assert param is None or answer["error"]["param"] == param
    assert texts(spool) == []


async def test_a_folder_that_cannot_be_written_is_500_and_says_why(bench: Bench, spool: Path) -> None:
    await asyncio.to_thread(spool.rmdir)
    status, answer = await bench.post("/v1/outbound-calls", {"to": "201"})
    assert status == 500
    assert answer["error"]["message"] == "no call could be placed: No such file or directory"


async def test_without_a_folder_no_calls_are_placed() -> None:
    async with whole_app() as bench:
        status, answer = await bench.post("/v1/outbound-calls", {"to": "201"})
    assert status == 404
    assert answer["error"]["message"] == "this server places no calls: OUTBOUND_SPOOL is not set"
