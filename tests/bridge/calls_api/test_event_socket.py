"""A conversation's events over a WebSocket."""

from __future__ import annotations

import aiohttp
import pytest

from bridge.calls_api import event_socket
from bridge.line.audiosocket import Kind
from tests.bridge.calls_api.test_events import COMPLETED, LINE, STARTED
from tests.support.fakes import Asterisk
from tests.support.whole_app import Bench


async def test_it_works_both_ways(bench: Bench) -> None:
    peer = await bench.call(**{"from": "12345"})
    async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events") as socket:
        first = await socket.receive_json()
        assert (first["type"], first["variables"]["from"]) == ("call.started", "12345")
        await bench.post(f"/v1/calls/{peer.id}/say", {"text": LINE})
        assert (await socket.receive_json())["type"] == "response.started"
        for _ in range(20):
            await peer.hear(voiced=True)
        await socket.send_json({"type": STARTED})
        assert (await socket.receive_json())["type"] == "response.paused"
        await socket.send_json([{"type": COMPLETED, "transcript": "stop"}])
        kinds = [(await socket.receive_json())["type"] for _ in range(3)]
        assert kinds == ["transcript.user", "transcript.agent", "response.interrupted"]
        peer.send(Kind.DTMF, b"5")
        assert (await socket.receive_json())["digit"] == "5"
        await peer.close()
        assert (await socket.receive_json())["type"] == "call.ended"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    conversation = bench.app.calls.find(peer.id)
    assert conversation.journal.listeners == []


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("rubbish", "JSON"),
        ("", "JSON"),
        ("[" * 50_000, "JSON"),
        ("{}", "type"),
        ('{"type": "nonsense"}', "type"),
        ('{"type": "input_audio_buffer.speech_started", "audio_start_ms": "5"}', "audio_start_ms"),
        (b'{"type": "input_audio_buffer.speech_started"}', "text messages"),
    ],
)
async def test_what_cannot_be_read_is_said_and_the_socket_lives_on(
    bench: Bench, peer: Asterisk, path: str, message: str | bytes, problem: str
) -> None:
    async with bench.http.ws_connect(f"{path}/events") as socket:
        assert (await socket.receive_json())["type"] == "call.started"
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        answer = await socket.receive_json()
        assert answer["type"] == "error"
        assert problem in answer["error"]["message"]
        await socket.send_json({"type": COMPLETED, "transcript": "hello"})
        assert (await socket.receive_json())["type"] == "transcript.user"


async def test_an_observer_that_falls_behind_is_dropped(
    bench: Bench, peer: Asterisk, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_socket, "MAX_BEHIND", 5)
    conversation = bench.app.calls.find(peer.id)
    async with bench.http.ws_connect(f"{path}/events") as socket:
        assert (await socket.receive_json())["type"] == "call.started"
        for number in range(20):  # in one turn of the loop: nothing can be sent meanwhile
            conversation.journal.tell("dtmf", digit=str(number % 10))
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.TRY_AGAIN_LATER)
    assert (await bench.get(path))["state"] == "active"


async def test_a_call_has_so_many_observers_at_most(
    bench: Bench, peer: Asterisk, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_socket, "MAX_OBSERVERS", 2)
    async with bench.http.ws_connect(f"{path}/events") as first, bench.http.ws_connect(f"{path}/events"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await bench.http.ws_connect(f"{path}/events")
        assert refused.value.status == 503
        await first.close()
        await first.receive()
        conversation = bench.app.calls.find(peer.id)
        while len(conversation.journal.listeners) > 1:
            await peer.receive()
        async with bench.http.ws_connect(f"{path}/events") as third:
            assert (await third.receive_json())["type"] == "call.started"


async def test_a_plain_request_is_told_what_it_is(bench: Bench, peer: Asterisk, path: str) -> None:
    async with bench.http.get(f"{path}/events") as response:
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")
    await bench.ended(peer)
    async with bench.http.get(f"{path}/events") as response:
        assert response.status == 409
