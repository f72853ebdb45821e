"""One list of calls out of several workers' lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from bridge.calls_api.state import CallState
from bridge.conversation.calls import ENDED_KEPT
from bridge.line.call import State
from bridge.workers import call_lists
from bridge.workers.call_lists import joined
from tests.support.worker_team import worker_team


def call(started_at: float, ended_at: float | None = None) -> dict[str, Any]:
    """A call as a worker lists it."""
    state = CallState(
        id=str(uuid4()),
        state=State.ACTIVE if ended_at is None else State.ENDED,
        agent_name='the [shop], "ours"',
        from_="+15557654321",
        to="200",
        started_at=started_at,
        ended_at=ended_at,
        end_reason=None if ended_at is None else "caller hung up",
        rate_hz=8_000,
        dtmf="12",
        speaking=False,
        underrun_frames=0,
    )
    return state.model_dump(mode="json", by_alias=True)


def listed(*calls: dict[str, Any], **form: Any) -> str:
    return json.dumps({"object": "list", "data": calls}, **form)


async def test_ended_calls_come_first_and_all_in_the_order_of_their_times() -> None:
    old, new, running, just_begun = call(1, 9), call(3, 4), call(2), call(8)
    told = json.loads(await joined([listed(old, just_begun), listed(new, running, indent=1)], 10))
    assert told == {"object": "list", "data": [new, old, running, just_begun]}


@pytest.mark.parametrize("lists", [[], [listed()], [listed(), listed(separators=(",", ":"))]])
async def test_no_calls_are_an_empty_list(lists: list[str]) -> None:
    assert json.loads(await joined(lists, 10)) == {"object": "list", "data": []}


async def test_of_those_that_ended_the_latest_are_kept_whoever_had_them() -> None:
    calls = [call(number, number + 0.5) for number in range(10)]
    told = json.loads(await joined([listed(*calls[::2]), listed(*calls[1::2])], 3))
    assert told["data"] == calls[-3:]


async def test_what_is_no_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        await joined(["{}"], 10)


async def test_thousands_of_ended_calls_of_two_workers_are_listed_while_others_have_their_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slices are counted, not the time, of which a busy machine takes more: benchmarks tell that."""
    longest, since = 0, 0
    read = call_lists._calls

    def counted(answer: str) -> Iterator[tuple[dict[str, Any], str]]:
        nonlocal since
        for one in read(answer):
            since += 1
            yield one

    monkeypatch.setattr(call_lists, "_calls", counted)

    async def look() -> None:
        """Has its turn whenever the loop is free."""
        nonlocal longest, since
        while True:
            longest, since = max(longest, since), 0
            await asyncio.sleep(0)

    workers = [[call(number, number + 0.5) for number in range(start, 5_000, 2)] for start in (0, 1)]
    async with worker_team(tmp_path) as bench:
        for calls in workers:
            text = listed(*calls)

            async def answer(request: web.Request, text: str = text) -> web.Response:
                return web.Response(text=text, content_type="application/json")

            app = web.Application()
            app.router.add_get("/v1/calls", answer)
            await bench.add(app)
        looking = asyncio.create_task(look())
        async with bench.http.get("/v1/calls?ended=1") as response:
            told = (await response.json())["data"]
        looking.cancel()
        async with bench.http.get("/v1/calls?ended=1&limit=7") as response:
            few = (await response.json())["data"]
    assert [one["started_at"] for one in told] == list(range(5_000 - ENDED_KEPT, 5_000)), "as many as one process keeps"
    assert few == told[-7:]
    assert 0 < longest <= call_lists.SLICE
