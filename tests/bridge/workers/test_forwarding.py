"""The calls API of a server with workers: what reaches a worker, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import socket
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from bridge.calls_api import event_socket
from bridge.line.audiosocket import Kind, encode
from bridge.line.websocket import command
from bridge.workers.worker import REMOTE
from engine.web import inbox
from engine.web.access import KEY_PROTOCOL, add_access_checks
from engine.web.inbox import PROTOCOL, Inbox, create_socket
from tests.support.waiting import eventually
from tests.support.websocket_peer import WebSocketAsterisk
from tests.support.worker_team import worker_team

PATIENCE_S = 30


@pytest.fixture
async def bench(tmp_path):
    async with worker_team(tmp_path, hosts=("pbx.example",)) as bench:
        yield bench


def answering(path, handler, method="GET"):
    app = web.Application()
    app.router.add_route(method, path, handler)
    return app


async def test_the_name_under_which_the_server_may_be_called_suffices_for_its_workers(bench):
    await bench.add_real()
    named = {"Host": "pbx.example:8000"}
    async with bench.http.post("/v1/calls", json={"id": str(uuid4())}, headers=named) as response:
        assert response.status == 201
    async with bench.http.get("/v1/calls", headers={"Host": "evil.example"}) as response:
        assert response.status == 421


async def test_a_worker_that_lists_no_calls_makes_no_empty_list(bench):
    async def fail(request):
        return web.json_response({"code": "INTERNAL_ERROR"}, status=500)

    await bench.add_real()
    await bench.add(answering("/v1/calls", fail))
    async with bench.http.get("/v1/calls") as response:
        assert response.status == 500
        assert await response.json() == {"code": "INTERNAL_ERROR"}


async def test_a_worker_that_is_gone_has_no_calls_to_list(bench):
    async def leave(request):
        request.transport.abort()
        return web.Response()

    await bench.add_real()
    await bench.add(answering("/v1/calls", leave))
    async with bench.http.get("/v1/calls") as response:
        assert await response.json() == {"object": "list", "data": []}


@pytest.mark.parametrize(("path", "status"), [("/v1/calls", 201), ("/v1/outbound-calls", 202)])
async def test_a_call_goes_to_the_worker_that_was_told_of_it(bench, path, status):
    call_id = uuid4()

    async def take(request):
        return web.json_response({"id": str(call_id)}, status=status)

    worker = (await bench.add(answering(path, take, "POST"))).seen
    await bench.add(web.Application())
    async with bench.http.post(path, json={}) as response:
        assert response.status == status
    worker.calls = 9  # the other one has more room
    assert bench.team.roster.place(call_id) is worker


@pytest.mark.parametrize("loads", [(), (1, 1)])
async def test_a_call_over_a_websocket_for_which_there_is_no_room_is_refused_before_it_begins(tmp_path, loads):
    async with worker_team(tmp_path, max_calls=2) as bench:
        for load in loads:
            (await bench.add(web.Application())).seen.calls = load
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await WebSocketAsterisk.upgraded(bench.http)
        assert refusal.value.status == 503


async def test_a_call_over_a_websocket_goes_to_the_worker_that_was_told_of_it(tmp_path):
    async with worker_team(tmp_path, max_calls=2) as bench:
        workers = [await bench.add(web.Application()) for _ in range(2)]
        workers[0].seen.calls = 2
        call_id = uuid4()
        bench.team.roster.learn(call_id, workers[0].seen)
        peer = await WebSocketAsterisk.upgraded(bench.http, call_id)
        message, descriptor = await workers[0].next()
        assert message["media"] == str(call_id)
        with socket.socket(fileno=descriptor) as connection:
            connection.sendall(command("HANGUP"))
            assert await peer.socket.receive_json(timeout=PATIENCE_S) == {"command": "HANGUP"}


async def test_without_a_worker_no_call_is_taken(bench):
    async with bench.http.post("/v1/calls", json={"id": str(uuid4())}) as response:
        assert response.status == 503
        assert (await response.json())["code"] == "QUEUE_FULL"


async def test_a_worker_that_goes_while_it_is_asked_does_not_answer(bench):
    async def leave(request):
        request.transport.abort()
        return web.Response()

    await bench.add(answering("/v1/calls/{id}", leave))
    async with bench.http.get(f"/v1/calls/{uuid4()}") as response:
        assert response.status == 503
        assert "does not answer" in (await response.json())["message"]


@pytest.mark.parametrize("name", ["continues", "brief_of"])
@pytest.mark.parametrize("form", ["json", "data"])
async def test_a_call_is_announced_where_the_earlier_one_is_that_it_needs(bench, name, form):
    async def take(request):
        return web.json_response({"id": str(CALL)}, status=201)

    earlier = uuid4()
    workers = [(await bench.add(answering("/v1/calls", take, "POST"))).seen for _ in range(2)]
    workers[1].calls = 9
    bench.team.roster.learn(earlier, workers[1])
    async with bench.http.post("/v1/calls", **{form: {"id": str(CALL), name: str(earlier)}}) as response:
        assert response.status == 201
    assert bench.team.roster.of(CALL) is workers[1]


async def test_a_call_takes_one_place_while_it_is_announced_and_from_when_its_worker_has_told_of_it(bench):
    workers = []

    async def take(request):
        announced = [worker.seen.load for worker in workers]
        worker = workers[len(told)]
        told.append(announced)
        worker.control.send({"calls": 0, "announced": 1, "received": 0, "answered": 1})
        for _ in range(10):  # the supervisor may read it now, or only beside the answer
            await asyncio.sleep(0)
        return web.json_response({}, status=201)

    for _ in range(2):
        workers.append(await bench.add(answering("/v1/calls", take, "POST")))
    told = []
    for loads in ([1, 0], [1, 1]):
        async with bench.http.post("/v1/calls", json={"id": str(uuid4())}) as response:
            assert response.status == 201
        assert [worker.seen.load for worker in workers] == loads
    assert told == [[1, 0], [1, 1]]


async def test_announced_calls_are_spread_evenly(bench):
    for _ in range(2):
        await bench.add_real()
    for number in range(1, 7):
        async with bench.http.post("/v1/calls", json={"id": str(uuid4())}) as response:
            assert response.status == 201
        assert sum(worker.load for worker in bench.team.roster.workers) == number, "no worker's clock is waited for"
    assert [worker.load for worker in bench.team.roster.workers] == [3, 3]


async def test_an_announced_call_that_connects_takes_no_second_place(bench):
    worker = await bench.add_real()
    (seen,) = bench.team.roster.workers
    async with bench.http.post("/v1/calls", json={"id": str(CALL)}) as response:
        assert response.status == 201
    near, far = socket.socketpair()
    with near, far:
        assert bench.team.hand_over(near, CALL)
        assert seen.load == 1, "on its way"

        async def here() -> bool:
            return seen.calls == 1

        await eventually(here, PATIENCE_S)
        assert seen.load == 1, "it has not said which call it is"
        far.send(encode(Kind.UUID, CALL.bytes))

        async def begun() -> bool:
            return worker.calls.find(CALL) is not None

        await eventually(begun, PATIENCE_S)
        assert seen.load == 1


async def test_as_many_calls_are_announced_as_there_are_places_however_many_come_at_once(tmp_path):
    async with worker_team(tmp_path) as bench:
        for _ in range(2):
            await bench.add_real(max_calls=10)

        async def announce():
            async with bench.http.post("/v1/calls", json={"id": str(uuid4())}) as response:
                return response.status

        assert await asyncio.gather(*(announce() for _ in range(10))) == [201] * 10
        assert await asyncio.gather(*(announce() for _ in range(10))) == [503] * 10


async def test_a_worker_is_told_whose_request_it_is_and_nobody_else_tells_it(bench):
    async def tell(request):
        return web.json_response(request.headers.getall(REMOTE))

    await bench.add(answering("/v1/calls/{id}", tell))
    async with bench.http.get(f"/v1/calls/{uuid4()}", headers={REMOTE: "192.0.2.9"}) as response:
        assert await response.json() == ["127.0.0.1"]


def event_sockets(api_key=""):
    """A worker that sends back what comes over the WebSocket of any call."""
    app = web.Application()
    add_access_checks(app, api_key, frozenset(), ("*",))

    async def echo(request):
        ours = create_socket(2**16)
        await ours.prepare(request)
        messages = Inbox(ours)
        while (message := await messages.next()) is not None:
            await ours.send_str(message.data)
        return ours

    app.router.add_get("/v1/calls/{id}/events", echo)
    return app


CALL = uuid4()
EVENTS = f"/v1/calls/{CALL}/events"


async def test_a_page_brings_its_key_in_a_subprotocol(tmp_path):
    key = f"{KEY_PROTOCOL}{base64.urlsafe_b64encode(b'opensesame').decode().rstrip('=')}"
    async with worker_team(tmp_path, api_key="opensesame") as bench:
        await bench.add(event_sockets("opensesame"))
        async with bench.http.ws_connect(EVENTS, protocols=(PROTOCOL, key)) as events:
            assert events.protocol == PROTOCOL
            await events.send_str("Hello.")
            assert await events.receive_str(timeout=PATIENCE_S) == "Hello."


async def test_who_follows_a_call_that_so_many_follow_already_is_told_so(bench, monkeypatch):
    monkeypatch.setattr(event_socket, "MAX_OBSERVERS", 1)
    worker = await bench.add_real()
    near, far = socket.socketpair()
    with near, far:
        assert bench.team.hand_over(near, CALL)
        far.send(encode(Kind.UUID, CALL.bytes))

        async def begun() -> bool:
            return worker.calls.find(CALL) is not None

        await eventually(begun, PATIENCE_S)
        async with bench.http.ws_connect(EVENTS):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await bench.http.ws_connect(EVENTS)
            assert refused.value.status == 503


async def test_who_follows_a_call_that_there_is_not_is_told_so(bench):
    await bench.add_real()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await bench.http.ws_connect(EVENTS)
    assert refused.value.status == 404


async def test_what_comes_in_binary_is_passed_on_and_how_it_ends_is_told(bench):
    async def ask(request):
        ours = create_socket(2**16)
        await ours.prepare(request)
        await ours.send_bytes(b"sound")
        await ours.close(code=aiohttp.WSCloseCode.TRY_AGAIN_LATER)
        return ours

    await bench.add(answering("/v1/calls/{id}/events", ask))
    async with bench.http.ws_connect(EVENTS) as events:
        assert await events.receive_bytes(timeout=PATIENCE_S) == b"sound"
        assert (await events.receive(PATIENCE_S)).data == aiohttp.WSCloseCode.TRY_AGAIN_LATER


async def test_pings_are_answered(bench):
    await bench.add(event_sockets())
    async with bench.http.ws_connect(EVENTS, autoping=False) as events:
        await events.ping(b"there?")
        answer = await events.receive(PATIENCE_S)
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")


async def test_a_flood_is_given_up_before_it_reaches_the_worker(bench, monkeypatch):
    monkeypatch.setattr(inbox, "FLOOD_S", 0.01)
    monkeypatch.setattr(inbox, "BURST_S", 0.1)
    await bench.add(event_sockets())
    async with bench.http.ws_connect(EVENTS) as events:
        for _ in range(200):
            await events.ping()  # the worker sees none of them
        while (await events.receive(PATIENCE_S)).type is not aiohttp.WSMsgType.CLOSE:
            pass
        assert events.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
