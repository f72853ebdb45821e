"""Calls that are announced before they connect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from bridge.conversation import registration
from bridge.line import recent_lateness
from bridge.line.audiosocket import Kind
from engine.web import bodies
from tests.support.fakes import Asterisk
from tests.support.waiting import eventually
from tests.support.whole_app import Bench, whole_app

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_registered_call_is_greeted_by_name_once() -> None:
    async with whole_app(greeting="Hi {name}.", require_registration=True) as bench:
        peer = await bench.call(**{"from": "12345", "name": 'Ada, "née" Byron'})
        await peer.hear(voiced=True)
        assert bench.engine.spoken[0][0] == 'Hi Ada, "née" Byron.'
        again = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        assert (await again.drain())[-1].kind == Kind.HANGUP
        status, body = await bench.post("/v1/calls", {"id": str(peer.id)})
        assert (status, body["code"]) == (409, "CONFLICT")
        call = await bench.get(f"/v1/calls/{peer.id}")
        assert call["conversation"]["variables"]["from"] == "12345"
        await peer.close()
        await again.close()


async def test_a_form_as_a_dialplan_posts_it(bench: Bench) -> None:
    call_id = uuid4()
    form = f"id={call_id}&from=%2B49%2030&name=J%C3%BCrgen+M%C3%BCller&empty=&=nameless"
    assert (await bench.post("/v1/calls", data=form, headers=FORM))[0] == 201
    claimed = bench.app.calls.registrations.claim(call_id)  # as its connection would
    assert claimed is not None
    assert claimed.variables == {"from": "+49 30", "to": "", "name": "Jürgen Müller", "empty": ""}


async def test_a_flood_of_announcements_is_refused_and_the_callers_who_wait_are_still_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "MAX_WAITING_OF_ONE", 3)
    call_ids = [str(uuid4()) for _ in range(5)]
    answers = [await bench.post("/v1/calls", {"id": call_id, "name": "Ada"}) for call_id in call_ids]
    assert [status for status, _ in answers] == [201, 201, 201, 503, 503]
    assert answers[-1][1]["code"] == "QUEUE_FULL"
    claimed = bench.app.calls.registrations.claim(UUID(call_ids[0]))
    assert claimed is not None
    assert claimed.variables["name"] == "Ada"


@pytest.mark.parametrize("name", [b"J%FCrgen", b"J\xfcrgen"])
async def test_a_name_in_another_encoding_does_not_cost_the_call(bench: Bench, name: bytes) -> None:
    call_id = uuid4()
    form = f"id={call_id}&name=".encode() + name
    assert (await bench.post("/v1/calls", data=form, headers=FORM))[0] == 201
    claimed = bench.app.calls.registrations.claim(call_id)
    assert claimed is not None
    assert claimed.variables["name"] == "J\ufffdrgen"


async def test_announced_again_it_is_known_by_what_was_said_last(bench: Bench) -> None:
    call_id = str(uuid4())
    for name in ("Ada", "Bob"):
        assert (await bench.post("/v1/calls", {"id": call_id, "name": name}))[0] == 201
    assert len(bench.app.calls.registrations) == 1
    peer = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
    await peer.close()
    assert (await bench.post("/v1/calls", {"id": call_id, "name": "Cyd"}))[0] == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": str(uuid4()), "from": 12345, "account": "7"}, 201),
        ({"id": "1700000000.1"}, 400),
        ({}, 400),
        ([], 400),
        ({"id": str(uuid4()), "x": {"y": 1}}, 400),
        ({"id": str(uuid4()), "x": None}, 400),
        ({"id": str(uuid4()), "x": "y" * 2_000}, 400),
        ({"id": str(uuid4()), "x" * 2_000: "y"}, 400),
        ({"id": str(uuid4()), "x\n": "y"}, 400),
        ({"id": str(uuid4()), **{f"x{n}": "y" for n in range(100)}}, 400),
        ({"id": str(uuid4()), **{f"x{n}": "y" * 1_000 for n in range(30)}}, 400),
        ({"id": str(uuid4()), "x": "y" * 2**19}, 413),
    ],
)
async def test_it_says_what_is_wrong(bench: Bench, body: Any, status: int) -> None:
    answer = await bench.post("/v1/calls", body)
    assert answer[0] == status, answer
    assert status == 201 or answer[1]["error"]["message"]


@pytest.mark.parametrize("form", [b"id=%FF%FE", b"\xff\xfe", b"", b"id", b"&" * 1_000, b"id=" + b"1" * 2**19])
async def test_a_form_that_is_none_is_refused(bench: Bench, form: bytes) -> None:
    status, answer = await bench.post("/v1/calls", data=form, headers=FORM)
    assert status == (413 if len(form) > 2**18 else 400)
    assert answer["error"]["message"]


@pytest.mark.parametrize("kind", ["application/json", FORM["Content-Type"]])
async def test_a_body_that_does_not_arrive_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.0)
    socket = aiohttp.ClientTimeout(total=10)
    headers = {"Content-Type": kind, "Content-Length": "100"}
    async with bench.http.post("/v1/calls", data=_half(), headers=headers, timeout=socket) as response:
        assert response.status == 408
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def _half() -> AsyncIterator[bytes]:
    yield b"id="
    await asyncio.Event().wait()


async def test_whose_frames_are_late_says_so_before_the_call_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    async with whole_app() as bench:
        monkeypatch.setattr(recent_lateness, "LATE_SHARE", 0.0)  # so that every clock that has run for 3 s is late
        peer = await bench.call()

        async def overloaded() -> bool:
            return bool((await bench.get("/health"))["overloaded"])

        async def relieved() -> bool:
            return not await overloaded()

        await eventually(overloaded, 30)
        status, answer = await bench.post("/v1/calls", {"id": str(uuid4())})
        assert (status, answer["code"]) == (503, "QUEUE_FULL")
        assert "frames are late with 1 calls" in answer["message"]
        await bench.ended(peer)
        await eventually(relieved, 30)
        assert (await bench.post("/v1/calls", {"id": str(uuid4())}))[0] == 201


async def test_who_is_full_or_going_says_so_before_the_call_connects() -> None:
    async with whole_app(max_calls=1) as bench:
        body = {"id": str(uuid4())}
        peer = await bench.call()
        status, answer = await bench.post("/v1/calls", body)
        assert (status, answer["code"]) == (503, "QUEUE_FULL")
        assert "MAX_CALLS=1" in answer["message"]
        await bench.ended(peer)
        assert (await bench.post("/v1/calls", body))[0] == 201
        status, answer = await bench.post("/v1/calls", {"id": str(uuid4())})
        assert (status, answer["code"]) == (503, "QUEUE_FULL"), "the one place is that of the call just announced"
        assert (await bench.post("/v1/calls", body))[0] == 201, "which may be announced again"
        status, answer = await bench.post("/v1/calls", {"id": str(peer.id)})
        assert (status, answer["error"]["code"]) == (409, "conflict"), "an ended call cannot come again"
        bench.app.calls.open = False
        async with bench.http.post("/v1/calls", json=body) as response:
            assert response.status == 503
            assert response.headers["Retry-After"]
            assert "shutting down" in (await response.json())["error"]["message"]


async def test_the_dialplan_is_asked_how_the_places_are_and_tells_it_before_the_call() -> None:
    async with whole_app(greeting="Hi.", transfer_allow="sales=ext-queues,400,1; boss=in,201,1; in,2??,1") as bench:
        call_id = uuid4()
        status, asked = await bench.post("/v1/calls", {"id": str(call_id), "name": "Ada"})
        assert (status, asked["states_of"]) == (201, "|400@ext-queues|201@in|")
        told = {"id": str(call_id), "line_states": "400@ext-queues=NO_AGENTS,"}
        status, asked = await bench.post("/v1/calls", told)
        assert (status, "states_of" in asked) == (201, False)
        claimed = bench.app.calls.registrations.claim(call_id)
        assert claimed is not None
        assert (claimed.variables["name"], claimed.variables["line_states"]) == ("Ada", told["line_states"])
