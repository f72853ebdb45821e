"""Listing the calls, and looking one up."""

from __future__ import annotations

import pytest

from bridge.journal.reading import read_lines
from tests.support.fakes import Asterisk
from tests.support.whole_app import Bench


async def test_lists_calls_in_progress_and_remembers_those_that_ended(bench: Bench, peer: Asterisk, path: str) -> None:
    (listed,) = (await bench.get("/v1/calls"))["data"]
    assert (listed["id"], listed["state"]) == (str(peer.id), "active")
    await bench.ended(peer)
    assert (await bench.get("/v1/calls"))["data"] == []
    call = await bench.get(path)
    assert (call["state"], call["end_reason"]) == ("ended", "caller hung up")


async def test_of_the_calls_that_ended_only_the_latest_are_listed_where_one_wants_no_more(bench: Bench) -> None:
    peers = [await bench.call() for _ in range(4)]
    for peer in peers[:3]:
        await bench.ended(peer)
    listed = (await bench.get("/v1/calls?ended=1&limit=2"))["data"]
    assert [call["id"] for call in listed] == [str(peer.id) for peer in peers[1:]], "those in progress always are"
    assert len((await bench.get("/v1/calls?ended=1"))["data"]) == 4


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "9" * 5_000, "٣", "many", ""])
async def test_how_many_ended_calls_are_listed_is_a_number(bench: Bench, limit: str) -> None:
    async with bench.http.get("/v1/calls", params={"ended": "1", "limit": limit}) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    assert error["param"] == "limit"
    assert error["message"].startswith(f"limit: {limit[:80]!r} must be a whole number from 1 to 1,000")


async def test_the_journal_of_a_call_can_be_read_when_it_has_ended(bench: Bench, peer: Asterisk, path: str) -> None:
    await bench.ended(peer)
    async with bench.http.get(f"{path}/journal") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        lines = read_lines((await response.text()).splitlines(keepends=True), path)
    assert (lines[0].type, lines[-1].type) == ("call.started", "call.ended")


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("GET", ""),
        *(("POST", what) for what in ("/say", "/interrupt", "/hangup", "/events")),
        ("GET", "/events"),
        ("GET", "/journal"),
    ],
)
@pytest.mark.parametrize(
    "call_id",
    ["5b7f2f0c-8a35-4f3f-9d6e-3f1d1f0c2a11", "no-uuid", "9" * 4_000, "%F0%9F%93%9E", "%00", "..%2F.."],
)
async def test_an_unknown_call_is_a_404_in_openais_shape(bench: Bench, method: str, what: str, call_id: str) -> None:
    async with bench.http.request(method, f"{bench.url}/v1/calls/{call_id}{what}", json={"text": "x"}) as response:
        assert response.status == 404
        error = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "not_found"


async def test_health_tells_of_calls_and_engine(bench: Bench, peer: Asterisk) -> None:
    health = await bench.get("/health")
    assert (health["status"], health["calls"], health["engine"]) == ("ok", 1, "fake")
