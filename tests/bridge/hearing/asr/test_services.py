"""A whole call through each recogniser's protocol: every service of `asr_services`, the application, and a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from aiohttp import WSCloseCode

from bridge.brains.messages import CALL_BEGINS
from bridge.line import intake
from bridge.line.audiosocket import Kind
from engine.audio import resample
from engine.speech import Pcm
from tests.support.asr_services import (
    LOUD,
    SERVICES,
    AsrService,
    Connection,
    DeepgramService,
    Qwen3AsrService,
    VllmService,
)
from tests.support.asterisk.signals import correlation
from tests.support.fakes import Asterisk
from tests.support.llm_server import Answer, LlmServer
from tests.support.voices import caller_says, silence
from tests.support.whole_app import whole_app

SPEED = 8
"""The number of frames that the caller sends a tick, which the tests let the server take in."""
SAID = ["What are your opening hours?", "Tell me about Sunday first.", "And where can I buy a ticket?"]
ANSWER = "A long answer. It goes on and on, far beyond what anybody wants to listen to."
OPENING: dict[type[AsrService], list[Any]] = {
    Qwen3AsrService: [{"action": "config", "language": "auto"}],
    VllmService: [{"type": "session.update", "model": "voxtral"}, {"type": "input_audio_buffer.commit"}],
    DeepgramService: [],
}
CLOSING: dict[str, Any] = {
    "qwen3-asr": {"action": "flush"},
    "vllm-realtime": {"type": "input_audio_buffer.commit", "final": True},
    "deepgram": {"type": "CloseStream"},
    "vosk": {"eof": 1},
}


@pytest.fixture(autouse=True)
def fast_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "AUDIO_SPEED", 2.0 * SPEED)


class Line:
    """The caller's end of a call, read all the time."""

    def __init__(self, peer: Asterisk) -> None:
        self.peer = peer
        self.voiced: list[bool] = []
        """Whether each frame that came held speech."""
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while (message := await self.peer.receive()) is not None:
            if message.kind == Kind.SLIN8:
                self.voiced.append(any(message.payload))
            self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Waits until `condition`, which is checked with every frame, is true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def ticks(self, count: int) -> None:
        wanted = len(self.voiced) + count
        await self.until(lambda: len(self.voiced) >= wanted)

    async def hears(self, count: int) -> None:
        """Waits for this many more frames that have sound."""
        wanted = sum(self.voiced) + count
        await self.until(lambda: sum(self.voiced) >= wanted)

    async def say(self, pcm: Pcm) -> None:
        """Sends `pcm`, and after it as much silence as ends a sentence."""
        track = np.concatenate((pcm, silence(800)))
        track = np.concatenate((track, np.zeros(-len(track) % 160, np.int16)))
        for index, frame in enumerate(track.reshape(-1, 160)):
            self.peer.send(Kind.SLIN8, frame.tobytes())
            if index % SPEED == 0:
                await self.ticks(1)

    async def hang_up(self) -> None:
        await self.peer.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


def settings_for(service: AsrService, model: LlmServer) -> dict[str, Any]:
    """Returns the settings of the application."""
    return {
        "asr_url": service.url, "asr_protocol": service.name, **service.settings,
        "greeting": "Hi.", "llm_base_url": model.url, "llm_model": "m", "filler": "", "echo_canceller": False,
    }  # fmt: skip


def loud_ms(audio: bytes, rate_hz: int) -> int:
    """Returns how much of the audio is sound."""
    return int(np.count_nonzero(np.abs(np.frombuffer(audio, np.int16).astype(np.int32)) > LOUD)) * 1000 // rate_hz


def arrived(connection: Connection, said: Pcm, rate_hz: int) -> float:
    """Returns how well the caller's audio is found, in one piece, in what the service got; 1 means the same."""
    margin = np.zeros(len(said) * rate_hz // 8_000, np.int16)  # so that what is missing at an end counts
    got = np.concatenate((margin, np.frombuffer(connection.audio, np.int16), margin))
    return correlation(resample(said, 8_000, rate_hz), got)


@pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.__name__)
async def test_a_whole_call(kind: type[AsrService]) -> None:
    asked = asyncio.Event()

    def respond(messages: list[dict[str, Any]]) -> Answer:
        asked.set()
        return Answer(ANSWER)

    async def question(said: str) -> list[dict[str, Any]]:
        """Returns the next request to the model, which is to be about this text."""
        async with asyncio.timeout(30):
            while not model.requests or said.lower().rstrip("?.") not in last(model)["content"].lower():
                asked.clear()
                await asked.wait()
        messages: list[dict[str, Any]] = model.requests[-1]["messages"]
        return messages

    async with (
        kind(SAID) as service,
        LlmServer(respond=respond) as model,
        whole_app(**settings_for(service, model)) as bench,
    ):
        peer = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        line = Line(peer)
        peer.send_audio()

        # The service is told what it wants to know, and gets audio though the caller sends none.
        silent_bytes = service.rate_hz * 2 * 4 // 10
        await service.until(lambda: bool(service.connections) and len(service.connections[0].audio) >= silent_bytes)
        first = service.connections[0]
        assert not any(first.audio)
        opening = next((messages for base, messages in OPENING.items() if issubclass(kind, base)), None)
        if opening is not None:
            assert first.texts == opening

        # A question is answered; what was said has arrived.
        spoken = [caller_says(said) for said in SAID]
        await line.say(spoken[0])
        await question(SAID[0])
        assert arrived(first, spoken[0], service.rate_hz) > 0.99

        # Words while the agent speaks end its turn, and the model is told what was heard of it.
        await line.hears(30)
        await line.say(spoken[1])
        messages = await question(SAID[1])
        heard = [message["content"] for message in messages if message["role"] == "assistant"][-1]
        assert ANSWER.startswith(heard)
        assert 0 < len(heard) < len(ANSWER) / 2

        # The service is killed while the caller speaks, and comes back: the question is heard whole.
        await line.hears(30)
        before = len(first.audio)
        talking = asyncio.create_task(line.say(spoken[2]))
        await service.until(lambda: loud_ms(first.audio[before:], service.rate_hz) > 500)
        first.abort()
        await talking
        await question(SAID[2])
        assert len(service.connections) == 2
        second = service.connections[1]
        assert arrived(second, spoken[2], service.rate_hz) > 0.99
        assert second.texts[: len(opening or [])] == (opening or [])

        # It is told when the call is over.
        await line.hang_up()
        async with asyncio.timeout(30):
            await second.over.wait()
        if service.name in CLOSING:
            assert second.texts[-1] == CLOSING[service.name]
        assert second.socket.close_code == WSCloseCode.OK
        users = [message["content"] for message in model.requests[-1]["messages"] if message["role"] == "user"]
        assert users.pop(0) == CALL_BEGINS
        assert [said.lower().rstrip("?.") for said in users] == [said.lower().rstrip("?.") for said in SAID]


async def test_deepgram_stays_while_the_caller_sends_nothing() -> None:
    """Deepgram hangs up if neither audio nor KeepAlive comes; it gets silence, on the wall clock."""
    async with DeepgramService([]) as service, LlmServer() as model, whole_app(**settings_for(service, model)) as bench:
        service.patience_s = 0.4
        peer = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        await service.until(
            lambda: bool(service.connections) and len(service.connections[0].audio) >= 16_000 * 2 * 3 // 2
        )
        assert len(service.connections) == 1
        await peer.close()


class Drops(Qwen3AsrService):
    """Takes every connection, greets, and drops it."""

    async def serve(self, connection: Connection) -> None:
        await self.opened(connection)
        connection.abort()


class AnotherKey(DeepgramService):
    """Refuses the first request that it gets."""

    settings = DeepgramService.settings | {"asr_api_key": "another"}


@pytest.mark.parametrize("kind", [Drops, AnotherKey])
async def test_a_service_that_never_gets_going(kind: type[AsrService], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bridge.hearing.asr.client.BACKOFF_S", (0.1,)
    )  # all the time between two connections is no failure
    async with (
        kind([]) as service,
        LlmServer() as model,
        whole_app(**settings_for(service, model), asr_timeout_ms=600) as bench,
    ):
        peer = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        peer.send_audio()
        assert (await peer.drain())[-1].kind == Kind.HANGUP
        conversation = bench.app.calls.find(peer.id)
        assert conversation is not None
        assert conversation.failed == "asr"
        await peer.close()


def last(model: LlmServer) -> dict[str, Any]:
    message: dict[str, Any] = model.requests[-1]["messages"][-1]
    return message
