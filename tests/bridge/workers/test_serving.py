"""`talkspurt serve` with WORKERS=2, as processes: calls on both, HTTP to each, a worker killed, a rolling restart."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.tts import Synthesize

from bridge.conversation.agents.agent import DEFAULT
from bridge.line.audiosocket import Kind
from tests.bridge.workers.line import PATIENCE_S, Line, is_alive
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.waiting import eventually
from tests.support.websocket_peer import WebSocketAsterisk

CALLS = 60
SETTINGS = {"WORKERS": "2", "GREETING": "", "APOLOGY": "", "MAX_CALLS": "70", "NO_INPUT_TIMEOUT_MS": "0"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """The socket on which systemd hears of a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path_factory.mktemp("systemd") / "notify"))
        receiver.settimeout(PATIENCE_S)
        yield receiver


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of LEXICON."""
    return tmp_path_factory.mktemp("lexicon") / "lexicon.yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, systemd: socket.socket, lexicon: Path) -> Iterator[Talkspurt]:
    watched = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "4000000"}
    lexicon.write_text("en:\n  SQL: sequel\n")
    watched |= {"LEXICON": str(lexicon), "WYOMING_PORT": "0"}
    with running(tmp_path_factory.mktemp("workers"), **SETTINGS, **watched) as server:
        yield server


@pytest.fixture
async def http(server):
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def workers(http):
    async with http.get("/health") as response:
        return (await response.json())["workers"]


async def dial(server, calls):
    lines = [await Line.dial(server) for _ in range(calls)]
    await asyncio.gather(*(line.heard(5) for line in lines))
    return lines


async def hang_up(http, lines):
    for line in lines:
        line.hang_up()

    async def gone() -> bool:
        return not await CallsApi(http).active() and not any(worker["calls"] for worker in await workers(http))

    await eventually(gone, PATIENCE_S)


async def replaced(http, pid):
    """Waits until there are two workers and this is none of them."""

    async def so() -> bool:
        now = {worker["pid"] for worker in await workers(http)}
        return len(now) == 2 and pid not in now

    await eventually(so, PATIENCE_S)


def test_systemd_is_told_once_that_all_is_ready_and_then_that_the_clocks_run(server, systemd):
    assert systemd.recv(100) == b"READY=1"
    assert {systemd.recv(100) for _ in range(3)} == {b"WATCHDOG=1"}


async def test_calls_are_spread_evenly_and_listed_as_one(server, http):
    lines = await dial(server, 10)

    async def even() -> bool:
        return [worker["calls"] for worker in await workers(http)] == [5, 5]

    await eventually(even, PATIENCE_S)
    assert set(await CallsApi(http).active()) == {line.id for line in lines}
    async with http.get("/metrics") as response:
        told = await response.text()
    assert "\ntalkspurt_calls_active 10.0\n" in told
    assert told.count("\ntalkspurt_engine_refused") == told.count("\n# HELP talkspurt_engine_refused")
    await hang_up(http, lines)
    async with http.get("/metrics") as response:
        assert "\ntalkspurt_calls_active 0.0\n" in await response.text()


async def test_a_request_about_a_call_reaches_it_wherever_it_is(server, http):
    lines = await dial(server, 4)
    calls = CallsApi(http)
    for line in lines:
        await calls.say(line.id, "Hello there.")
        async with http.ws_connect(f"/v1/calls/{line.id}/events") as events:
            assert (await events.receive_json(timeout=PATIENCE_S))["call_id"] == line.id
            async with http.post(f"/v1/calls/{line.id}/interrupt") as response:
                assert response.status == 200
            await calls.hang_up(line.id, next="hangup")
            last = {}
            while last.get("type") != "call.ended":
                last = await events.receive_json(timeout=PATIENCE_S)
        async with http.get(f"/v1/calls/{line.id}/next") as response:
            assert await response.text() == "hangup", "what the dialplan is told after the end"
    await hang_up(http, lines)


async def test_an_announced_call_is_known_where_it_connects(server, http):
    ids = [uuid4() for _ in range(6)]
    for number, call_id in enumerate(ids):
        form = {"id": str(call_id), "from": f"+1{number}"}
        answer = {"data": form} if number % 2 else {"json": form}
        async with http.post("/v1/calls", **answer) as response:
            assert response.status == 201
    lines = [await Line.dial(server, call_id) for call_id in reversed(ids)]
    await asyncio.gather(*(line.heard(5) for line in lines))
    for number, call_id in enumerate(ids):
        told = await CallsApi(http).call(str(call_id))
        assert told["conversation"]["variables"]["from"] == f"+1{number}"
        async with http.post("/v1/calls", json={"id": str(call_id)}) as response:
            assert response.status == 409
    await hang_up(http, lines)


async def test_a_call_goes_on_where_the_earlier_one_was(server, http):
    for _ in range(3):
        first, second = uuid4(), uuid4()
        async with http.post("/v1/calls", json={"id": str(first), "name": "Ada"}) as response:
            assert response.status == 201
        line = await Line.dial(server, first)
        await line.heard(5)
        await hang_up(http, [line])
        async with http.post("/v1/calls", json={"id": str(second), "continues": str(first)}) as response:
            assert response.status == 201
        line = await Line.dial(server, second)
        await line.heard(5)
        assert (await CallsApi(http).call(str(second)))["conversation"]["variables"]["name"] == "Ada"
        await hang_up(http, [line])


async def test_a_call_over_a_websocket_reaches_its_worker(server, http):
    ids = [uuid4() for _ in range(4)]
    for call_id in ids:
        async with http.post("/v1/calls", json={"id": str(call_id), "name": "Ada"}) as response:
            assert response.status == 201
    peers = [await WebSocketAsterisk.calling(http, call_id=call_id) for call_id in ids]
    calls = CallsApi(http)
    for peer in peers:

        async def known(peer: WebSocketAsterisk = peer) -> bool:
            return str(peer.id) in await calls.active()

        await eventually(known, PATIENCE_S)
        assert (await calls.call(str(peer.id)))["conversation"]["variables"]["name"] == "Ada"
    assert [worker["calls"] for worker in await workers(http)] == [2, 2], "where they were announced"
    await calls.hang_up(str(peers[0].id))
    assert (await peers[0].drain())[-1].kind == Kind.HANGUP
    for peer in peers:
        await peer.close()
    await hang_up(http, [])


async def test_max_calls_counts_those_of_all_workers(server, http):
    lines = await dial(server, 70)
    refused = await Line.dial(server)
    await refused.ended()
    assert refused.end == "hung up"
    refused.hang_up()

    async def full() -> bool:
        async with http.post("/v1/calls", json={"id": str(uuid4())}) as response:
            return response.status == 503

    await eventually(full, PATIENCE_S)
    await hang_up(http, lines)


async def test_a_burst_of_announced_calls_gets_all_places(server, http):
    ids = [uuid4() for _ in range(70)]
    for call_id in ids:
        async with http.post("/v1/calls", json={"id": str(call_id)}) as response:
            assert response.status == 201
    lines = [await Line.dial(server, call_id) for call_id in ids]
    await asyncio.gather(*(line.heard(5) for line in lines))
    await hang_up(http, lines)


async def test_errors_are_as_of_one_process(http):
    async with http.get(f"/v1/calls/{uuid4()}") as response:
        assert response.status == 404
        assert (await response.json())["code"] == "NOT_FOUND"
    async with http.post("/v1/calls", data=b"{", headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400
    async with http.get("/openapi.json") as response:
        assert "/v1/calls/{id}/events" in await response.text()


async def test_home_assistant_is_spoken_to_too(server):
    port = int((await server.logged("serving Wyoming", 0.0))["address"].rpartition(":")[2])
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=PATIENCE_S) as client:
        await client.write_event(Synthesize("The door is closed.").event())
        rate_hz, sound = AudioStart.from_event(await client.read_event()).rate, b""
        while not AudioStop.is_type((event := await client.read_event()).type):
            sound += AudioChunk.from_event(event).audio
    assert any(sound)
    assert len(sound) > rate_hz, "half a second at least"


async def test_a_worker_that_is_killed_takes_its_own_calls_and_another_takes_its_place(server, http):
    lines = await dial(server, 6)

    async def counted() -> bool:
        return sum(worker["calls"] for worker in await workers(http)) == len(lines)

    await eventually(counted, PATIENCE_S)
    victim = max(await workers(http), key=lambda worker: worker["calls"])
    assert victim["calls"]
    os.kill(victim["pid"], signal.SIGKILL)

    async def over() -> bool:
        return sum(bool(line.end) for line in lines) == victim["calls"]

    await eventually(over, PATIENCE_S)
    others = [line for line in lines if not line.end]
    await asyncio.gather(*(line.heard(50) for line in others))
    await replaced(http, victim["pid"])
    new = await dial(server, 4)
    await hang_up(http, [*others, *new])


async def test_a_worker_that_hangs_is_killed(server, http):
    victim = (await workers(http))[0]["pid"]
    os.kill(victim, signal.SIGSTOP)
    await replaced(http, victim)
    lines = await dial(server, 4)
    assert [line.end for line in lines] == [""] * 4
    assert victim not in {worker["pid"] for worker in await workers(http) if worker["calls"]}
    await hang_up(http, lines)


async def test_a_rolling_restart_costs_none_of_60_calls(server, http):
    lines = await dial(server, CALLS)
    old = {worker["pid"] for worker in await workers(http)}
    server.process.send_signal(signal.SIGUSR2)
    new = []

    async def all_drain() -> bool:
        """Calls come all the while; the latest five stay."""
        new.extend(await dial(server, 1))
        if len(new) > 5:
            new.pop(0).hang_up()
        state = {worker["pid"]: worker["draining"] for worker in await workers(http)}
        return all(state[pid] for pid in old) and list(state.values()).count(False) == 2

    await eventually(all_drain, PATIENCE_S)
    first, *rest = lines
    first.hang_up()  # the end of one call ends no worker
    await asyncio.gather(*(line.heard(50) for line in [*rest, *new]))
    assert [line.end for line in [*rest, *new]] == [""] * (CALLS - 1 + len(new)), "0 dropped, 0 reset"
    await CallsApi(http).say(rest[0].id, "Are you still there?")
    await hang_up(http, [*rest, *new])

    async def old_ones_are_gone() -> bool:
        return not old & {worker["pid"] for worker in await workers(http)}

    await eventually(old_ones_are_gone, PATIENCE_S)


async def test_a_reload_reaches_every_worker(server):
    server.process.send_signal(signal.SIGHUP)

    def read() -> dict[int, list[str]]:
        return {line["worker"]: line["agents"] for line in server.log if line["event"] == "agents read"}

    async def by_both() -> bool:
        return len(read()) == 2

    await eventually(by_both, PATIENCE_S)
    assert list(read().values()) == [[DEFAULT]] * 2


async def test_the_lexicon_counts_for_http_too_and_is_read_again(server, http, lexicon):
    async def sound(text: str) -> bytes:
        body = {"input": text, "response_format": "pcm", "seed": 1}
        async with http.post("/v1/audio/speech", json=body) as response:
            assert response.status == 200
            return await response.read()

    assert await sound("We use SQL.") == await sound("We use sequel.")
    lexicon.write_text("en:\n  SQL: squirrel\n")
    server.process.send_signal(signal.SIGHUP)
    squirrel = await sound("We use squirrel.")

    async def is_read_again() -> bool:
        return await sound("We use SQL.") == squirrel

    await eventually(is_read_again, PATIENCE_S)

    lexicon.write_text("en:\n  SQL: sequel\nagents:\n  nobody:\n    en:\n      SQL: skew\n")
    server.process.send_signal(signal.SIGHUP)

    async def is_told() -> bool:
        return any(line["event"] == "the lexicon stays as it was" for line in server.log)

    await eventually(is_told, PATIENCE_S)
    assert await sound("We use SQL.") == squirrel, "the workers do not take it either"


async def test_workers_do_not_outlive_their_supervisor(server, http):
    pids = [worker["pid"] for worker in await workers(http)]
    lines = await dial(server, 2)
    server.kill()
    await asyncio.gather(*(line.ended() for line in lines))
    assert all(line.end for line in lines)

    async def gone() -> bool:
        return not any(is_alive(pid) for pid in pids)

    await eventually(gone, PATIENCE_S)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await Line.dial(server)
