"""Five hundred conversations, ended at every moment and in every way, their services failing at random.

What is left is what was there before.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from bridge.app import App
from bridge.config import Settings
from bridge.conversation.conversation import Conversation
from bridge.line.audiosocket import Kind
from bridge.line.call_limit import CallLimit
from engine.speech import Pcm, SpeechError, Style
from tests.support.fakes import Asterisk, CallEnd, FakeEngine
from tests.support.llm_server import Answer, LlmServer

CALLS = 500
AT_ONCE = 50
COMPLETED = "conversation.item.input_audio_transcription.completed"


class FragileEngine(FakeEngine):
    """Breaks down in the middle of a sentence now and then."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.breaks = False

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        async with aclosing(super().stream(sentence, style)) as chunks:
            async for pcm in chunks:
                yield pcm
                if self.breaks and self.chance.random() < 0.05:
                    raise SpeechError("the fake engine broke down")


@asynccontextmanager
async def faulty_recogniser(chance: random.Random) -> AsyncIterator[str]:
    """Takes audio and says nothing (events come by POST), or hangs up, dies, talks rubbish, or refuses."""

    async def serve(request: web.Request) -> web.StreamResponse:
        fault = chance.choice(["", "", "refuse", "close", "abort", "rubbish", "huge"])
        if fault == "refuse":
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            match fault:
                case "close":
                    await socket.close()
                case "abort":
                    assert request.transport is not None
                    request.transport.abort()
                case "rubbish" | "huge":
                    with suppress(ConnectionError):
                        await socket.send_str("}{" if fault == "rubbish" else "x" * (1 << 20))
        return socket

    app = web.Application()
    app.router.add_get("/v1/realtime", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def respond(messages: list[dict[str, Any]]) -> Answer:
    kinds = [
        Answer("One two three. Four five."),
        Answer("One", hang=True),
        Answer("One", dies=True),
        Answer(rubbish=b"data: }{\n\n"),
        Answer(status=500),
        Answer(token_s=0.01, text="a b c"),
    ]
    return random.choice(kinds)


async def one_call(app: App, http: aiohttp.ClientSession, chance: random.Random) -> None:
    call_id = uuid4()
    if chance.random() < 0.5:
        await http.post("/v1/calls", data={"id": str(call_id), "from": "1"})
    peer = await Asterisk.connect(app.audiosocket_port, call_id)
    peer.send_audio()
    while app.calls.find(call_id) is None:
        assert await peer.receive() is not None, "the call is not taken"
    path = f"/v1/calls/{call_id}"
    with suppress(ConnectionError):  # a key pressed after a service's failure has ended the call
        for _ in range(chance.randrange(4)):
            match chance.randrange(5):
                case 0:
                    await http.post(f"{path}/events", json={"type": "input_audio_buffer.speech_started"})
                case 1:
                    await http.post(f"{path}/events", json={"type": COMPLETED, "transcript": "hello"})
                case 2:
                    await http.post(f"{path}/say", json={"text": "One two three."})
                case 3:
                    peer.send(Kind.DTMF, b"1")
                case 4:
                    await http.post(f"{path}/interrupt")
            for _ in range(chance.randrange(10)):
                if await peer.receive() is None:
                    break
    match chance.randrange(3):
        case 0:
            peer.reset()
        case 1:
            await http.post(f"{path}/hangup")
            with suppress(ConnectionError):  # as above
                await peer.drain()
    await peer.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def settled(app: App) -> None:
    """Until every call has ended."""
    async with asyncio.timeout(20):
        while len(app.calls) or app.audiosocket.connections:
            for conversation in app.calls.active():
                await CallEnd(conversation.call).wait()
            await asyncio.sleep(0.05)  # for connections that never became calls


async def test_nothing_is_left_of_five_hundred_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Callers, services and server share this process, which does nothing but begin and end calls: frames are late.
    monkeypatch.setattr(CallLimit, "is_reached", lambda limit, calls: False)
    random.seed(5)
    chance = random.Random(5)
    engine = FragileEngine(chance)
    async with faulty_recogniser(chance) as asr_url, LlmServer(respond=respond) as model:
        settings = Settings.of(
            audiosocket_port=0, http_port=0, drain_timeout=0, apology="", greeting="Hi.", asr_url=asr_url,
            llm_base_url=model.url, llm_model="m", filler_after_ms=50, llm_timeout_ms=500, asr_timeout_ms=500,
        )  # fmt: skip
        app = App(settings, engine)
        await app.start()
        engine.breaks = True
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}", connector=connector) as http:
            await one_call(app, http, chance)  # what is opened once and kept
            await settled(app)
            before = None
            for _ in range(CALLS // AT_ONCE):
                await asyncio.gather(*(one_call(app, http, chance) for _ in range(AT_ONCE)))
                await settled(app)
                counted = await counts(engine)
                before = before or counted
            assert counted["streams"] == 0
            assert counted["conversations in progress"] == 0
            assert counted["tasks"] <= before["tasks"] + 5, (before, counted)
            assert counted["files"] <= before["files"] + 5, (before, counted)
        await app.stop()


async def counts(engine: FakeEngine) -> dict[str, int]:
    """What is running, once the connections of the HTTP clients have closed too."""
    for _ in range(50):
        await asyncio.sleep(0)
    gc.collect()
    conversations = [o for o in gc.get_objects() if isinstance(o, Conversation) and o.call.ended_at is None]
    return {
        "streams": engine.streams,
        "conversations in progress": len(conversations),
        "tasks": len(asyncio.all_tasks()),
        "files": open_files(),
    }
