"""The calls API around a conversation, on the whole application with a fake engine."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from bridge.app import App
from bridge.audiosocket import Kind
from bridge.config import Settings
from tests.fakes import Asterisk, FakeEngine

STARTED = "input_audio_buffer.speech_started"
COMPLETED = "conversation.item.input_audio_transcription.completed"


class Bench:
    """The application, an HTTP client and whoever calls."""

    def __init__(self, app: App, http: aiohttp.ClientSession) -> None:
        self.app = app
        self.http = http

    async def call(self, **variables: str) -> Asterisk:
        """An answered call, registered first where variables are given."""
        call_id = uuid4()
        if variables:
            response = await self.http.post("/v1/calls", data={"id": str(call_id), **variables})
            assert response.status == 201
        peer = await Asterisk.connect(self.app.audiosocket_port, call_id)
        peer.send_audio()
        while self.app.calls.find(peer.id) is None:
            await peer.receive()
        return peer

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.http.post(path, json=body) as response:
            return response.status, await response.json()

    async def next(self, peer: Asterisk) -> str:
        async with self.http.get(f"/v1/calls/{peer.id}/next") as response:
            assert response.content_type == "text/plain"
            return await response.text()


Start = Callable[..., Any]


@pytest.fixture
def start() -> Start:
    @asynccontextmanager
    async def starting(**settings: Any) -> AsyncIterator[Bench]:
        defaults = {"audiosocket_port": 0, "http_port": 0, "drain_timeout": 0, "apology": "", "_env_file": None}
        app = App(Settings(**{**defaults, **settings}), FakeEngine())
        await app.start()
        app.engine.spoken.clear()  # the warm-up
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}") as http:
            yield Bench(app, http)
        await app.stop()

    return starting


async def test_a_registered_call_is_greeted_by_name_once(start: Start) -> None:
    async with start(greeting="Hi {name}.", require_registration=True) as bench:
        peer = await bench.call(**{"from": "12345", "name": 'Ada, "née" Byron'})
        await peer.hear(voiced=True)
        assert bench.app.engine.spoken[0][0] == 'Hi Ada, "née" Byron.'
        again = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        assert (await again.drain())[-1].kind == Kind.HANGUP
        status, body = await bench.post("/v1/calls", {"id": str(peer.id)})
        assert (status, body["code"]) == (409, "CONFLICT")
        call = await (await bench.http.get(f"/v1/calls/{peer.id}")).json()
        assert call["conversation"]["variables"]["from"] == "12345"
        await peer.close()
        await again.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": str(uuid4()), "from": 12345, "account": "7"}, 201),
        ({"id": "1700000000.1"}, 400),
        ({}, 400),
        ({"id": str(uuid4()), "x": {"y": 1}}, 400),
        ({"id": str(uuid4()), "x": "y" * 2000}, 400),
    ],
)
async def test_registration_says_what_is_wrong(start: Start, body: dict[str, Any], status: int) -> None:
    async with start() as bench:
        assert (await bench.post("/v1/calls", body))[0] == status


async def test_events_interrupt_and_are_idempotent(start: Start) -> None:
    async with start() as bench:
        peer = await bench.call()
        path = f"/v1/calls/{peer.id}"
        assert await bench.post(f"{path}/events", {"type": STARTED}) == (202, {"interrupted": False})
        await bench.post(f"{path}/events", {"type": "input_audio_buffer.speech_stopped"})
        await bench.post(f"{path}/events", {"type": COMPLETED, "transcript": ""})
        await bench.post(f"{path}/say", {"text": "One two three four five six seven."})
        for _ in range(40):
            await peer.hear(voiced=True)
        stale = {"type": STARTED, "audio_start_ms": 0}
        assert await bench.post(f"{path}/events", stale) == (202, {"interrupted": False})
        event = {"type": STARTED, "event_id": "e1"}
        status, answer = await bench.post(f"{path}/events", [event, event])
        assert (status, answer["interrupted"]) == (202, True)
        assert "One two three".startswith(answer["text"])
        assert answer["audio_end_ms"] >= 780
        await peer.hear(voiced=False)
        words = {"type": COMPLETED, "transcript": "stop", "item_id": "i1"}
        status, answer = await bench.post(f"{path}/events", words)
        assert answer["interrupted"]
        assert await bench.post(f"{path}/events", words) == (202, {"interrupted": False})
        call = await (await bench.http.get(path)).json()
        assert [entry["who"] for entry in call["conversation"]["transcript"]] == ["user", "agent"]
        await peer.close()


@pytest.mark.parametrize("body", [{"type": "nonsense"}, [], "x", [{"type": STARTED, "audio_start_ms": -1}], 5])
async def test_bad_events_are_refused(start: Start, body: Any) -> None:
    async with start() as bench:
        peer = await bench.call()
        status, answer = await bench.post(f"/v1/calls/{peer.id}/events", body)
        assert status == 400 if body != [] else status == 202
        assert (await bench.post(f"/v1/calls/{uuid4()}/events", {"type": STARTED}))[0] == 404
        assert answer
        await peer.close()


async def test_the_event_socket_works_both_ways(start: Start) -> None:
    async with start() as bench:
        peer = await bench.call(**{"from": "12345"})
        async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events") as socket:
            first = await socket.receive_json()
            assert (first["type"], first["variables"]["from"]) == ("call.started", "12345")
            await bench.post(f"/v1/calls/{peer.id}/say", {"text": "One two three four five."})
            assert (await socket.receive_json())["type"] == "response.started"
            await socket.send_str("rubbish")
            assert (await socket.receive_json())["type"] == "error"
            await socket.send_json({"type": "nonsense"})
            assert "type" in (await socket.receive_json())["error"]["message"]
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
        conversation = bench.app.conversations.find(peer.id)
        assert len(conversation.journal.observers) == 1, "the web-hooks' alone"


async def test_a_text_that_is_still_being_written_is_spoken_as_it_comes(start: Start) -> None:
    async with start() as bench:
        peer = await bench.call()
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def body() -> AsyncIterator[bytes]:
            while (piece := await pieces.get()) is not None:
                yield piece

        headers = {"Content-Type": "text/plain; charset=utf-8"}
        path = f"/v1/calls/{peer.id}/say"
        request = asyncio.create_task(bench.http.post(path, data=body(), headers=headers))
        pieces.put_nowait("Gr\u00fc\u00df Gott. Wie".encode())
        await peer.hear(voiced=True)
        assert [text.strip() for text, _ in bench.app.engine.spoken] == ["Gr\u00fc\u00df Gott."]
        pieces.put_nowait(b" geht es?")
        pieces.put_nowait(None)
        assert (await request).status == 202
        while len(bench.app.engine.spoken) < 2:
            await peer.receive()
        assert bench.app.engine.spoken[1][0] == "Wie geht es?"
        await peer.close()


async def test_a_goodbye_is_heard_and_the_dialplan_goes_where_it_is_told(start: Start) -> None:
    async with start(transfer_allow="sales=ext-queues,400,1") as bench:
        peer = await bench.call()
        path = f"/v1/calls/{peer.id}/hangup"
        status, answer = await bench.post(path, {"next": "macro-evil,s,1"})
        assert (status, answer["error"]["param"]) == (400, "next")
        assert await bench.next(peer) == ""
        assert (await bench.post(path, {"text": "Bye now.", "next": "sales"}))[0] == 202
        heard = await peer.drain()
        assert sum(any(message.payload) for message in heard) == 40
        assert heard[-1].kind == Kind.HANGUP
        assert await bench.next(peer) == "ext-queues,400,1"
        await peer.close()
        other = await bench.call()
        async with bench.http.post(f"/v1/calls/{other.id}/hangup") as response:
            assert response.status == 202
        await other.drain()
        assert await bench.next(other) == "hangup"
        await other.close()


async def test_next_of_a_call_that_nobody_knows_is_empty(start: Start) -> None:
    async with start() as bench:
        for name in (str(uuid4()), "nonsense"):
            async with bench.http.get(f"/v1/calls/{name}/next") as response:
                assert (response.status, await response.text()) == (404, "")


async def test_a_recording_and_its_transcript(start: Start, tmp_path: Path) -> None:
    async with start(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await bench.call()
        for _ in range(20):
            await peer.hear(voiced=True)
        gone = asyncio.Event()
        bench.app.calls.find(peer.id).end_listeners.append(lambda reason: gone.set())
        await peer.close()
        await gone.wait()
    transcript = json.loads((tmp_path / f"{peer.id}.json").read_text())
    assert transcript["end_reason"] == "caller hung up"
    assert (tmp_path / f"{peer.id}.wav").stat().st_size > 20 * 640


async def test_audio_of_any_length_and_rate_is_recorded(start: Start, tmp_path: Path) -> None:
    async with start(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await bench.call()
        for kind, length in (
            (Kind.SLIN8, 161),
            (Kind.SLIN16, 321),
            (Kind.SLIN16, 1),
            (Kind.SLIN16, 0),
            (Kind.SLIN8, 7),
        ):
            peer.send(kind, bytes(length))
        peer.send(Kind.DTMF, b"5")
        call = bench.app.calls.find(peer.id)
        while not call.dtmf:
            await peer.receive()
        assert call.ended_at is None
        await peer.close()


async def test_a_16_khz_call_is_recorded_at_16_khz(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.call.RATE_WAIT_S", 60.0)  # however busy the machine
    monkeypatch.setattr("bridge.listening.BEAT_S", 60.0)
    tone = np.round(8_000 * np.sin(2 * np.pi * 6_000 * np.arange(16_000) / 16_000)).astype(np.int16)
    async with start(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        while (call := bench.app.calls.find(peer.id)) is None:
            await peer.receive()
        sent: asyncio.Queue[int] = asyncio.Queue()
        call.frame_listeners.append(lambda pcm, rate_hz: sent.put_nowait(rate_hz))
        assert await sent.get() == 8_000, "before the call's rate is known"
        peer.send(Kind.SLIN16, tone.tobytes())
        await peer.hear(voiced=True)
        await peer.close()
    with wave.open(str(tmp_path / f"{peer.id}.wav")) as wav:
        assert wav.getframerate() == 16_000
        caller = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)[::2]
    assert tone.tobytes() in caller.tobytes(), "sample for sample"


async def test_another_system_is_told_of_start_and_end_and_prometheus_of_the_turn(start: Start) -> None:
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        told.put_nowait(await request.json())
        return web.Response()

    hook = web.Application()
    hook.router.add_post("/", receive)
    runner = web.AppRunner(hook)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with start(greeting="Hi.", webhook_url=f"http://127.0.0.1:{runner.addresses[0][1]}/") as bench:
        peer = await bench.call(account="77")
        await peer.hear(voiced=True)
        await peer.close()
        started, ended = await told.get(), await told.get()
        assert (started["type"], started["variables"]["account"]) == ("call.started", "77")
        assert (ended["type"], ended["reason"]) == ("call.ended", "caller hung up")
        assert ended["call_id"] == str(peer.id)
        async with bench.http.get("/metrics") as response:
            metrics = await response.text()
        assert 'talkspurt_turn_stage_seconds_count{stage="first_frame"} 1.0' in metrics
    await runner.cleanup()
