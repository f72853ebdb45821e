"""A caller on a loudspeaker, by a clock of its own: what the agent says comes back, and the real detector hears it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from uuid import uuid4

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from bridge.brains.brain import Brain, Piece, Say
from bridge.conversation.conversation import Conversation
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.settings import ConversationSettings
from bridge.hearing.vad import Detector
from bridge.line.call import Call
from engine.speech import Pcm, Style
from tests.support.echo_path import EchoPath
from tests.support.fakes import FakeEngine
from tests.support.lone_agent import lone_agent
from tests.support.voices import caller_says

GREETING = "Good morning, this is the city museum. We are open until six today. How can I help you?"
FRAME_S = 0.02
FRAME_SAMPLES = 160


class Voice(FakeEngine):
    """An engine with a voice, which the detector takes for one."""

    async def stream(self, sentence, style):
        yield caller_says(sentence.strip(), self.sample_rate_hz)


class Greeter(Brain):
    """Says the greeting, and has nothing to answer."""

    async def greet(self) -> AsyncGenerator[Piece]:
        yield Say(GREETING)

    async def answer(self, said: str) -> AsyncGenerator[Piece]:
        if False:
            yield ""

    pressed = answer

    def silence(self) -> AsyncGenerator[Piece]:
        return self.answer("")

    def heard(self, text: str, *, interrupted: bool) -> None:
        pass


class Recognizer:
    """Takes audio and recognises nothing."""

    speech_events = False
    down_since_s = None
    heard_s = 1e9

    def __init__(self) -> None:
        self.audio = bytearray()

    def push(self, pcm: bytes, rate_hz: int) -> None:
        self.audio += pcm

    def flush(self) -> None:
        pass

    async def run(self) -> None:
        pass


class Loudspeaker:
    """A call from a telephone whose microphone takes up its loudspeaker."""

    def __init__(self, path: EchoPath, detector: Detector, **settings: object) -> None:
        self.now_s = 100.0
        self.path = path
        self.detector = detector
        self.sent: list[Pcm] = []
        self.raw = bytearray()
        self.recognizer = Recognizer()
        self.events: list[dict[str, object]] = []
        self.call = Call(uuid4(), self, Voice(), Style(language="en"), normalize=False, now_s=lambda: self.now_s)
        self.talk = Conversation(
            self.call,
            lone_agent(self.call, Greeter(), ConversationSettings.model_validate({"filler_after_ms": 0, **settings})),
            ConversationMetrics(CollectorRegistry()),
            now_s=lambda: self.now_s,
        )
        self.talk.journal.observers.append(self.events.append)
        listening = self.talk.listening
        listening.recorders.append(lambda pcm, rate_hz: self.raw.extend(pcm))
        ear = detector.ear(listening.heard_locally, agent_speaks=listening.agent_is_audible)
        self.call.audio_received(0x10, bytes(2 * FRAME_SAMPLES))
        self.talk.start(self.recognizer, ear)

    def send(self, pcm: bytes, rate_hz: int) -> None:
        self.sent.append(np.frombuffer(pcm, np.int16))

    def take_back(self) -> int:
        return 0

    def hang_up(self) -> None:
        pass

    async def play(self, ms: int, caller: Pcm | None = None) -> None:
        """Has the call go on for so long, in which the caller says this."""
        caller = np.zeros(0, np.int16) if caller is None else caller
        for start in range(0, ms * 8, FRAME_SAMPLES):
            self.now_s += FRAME_S
            self.call.tick(self.now_s)
            said = np.zeros(FRAME_SAMPLES, np.int16)
            piece = caller[start : start + FRAME_SAMPLES]
            said[: len(piece)] = piece
            self.call.audio_received(0x10, self.path.push(self.sent[-1], said).tobytes())
            await self.detector.settled()
            for _ in range(20):
                await asyncio.sleep(0)
            while self.talk._turns.deadline_s() <= self.now_s:
                self.talk._expire()

    def kinds(self) -> list[object]:
        return [event["type"] for event in self.events]


@pytest.fixture
async def detector() -> AsyncIterator[Detector]:
    detector = Detector()
    yield detector
    await detector.close()


@pytest.fixture(autouse=True)
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.hearing.listening.BEAT_S", 1e6)  # the real clock is not this call's


@pytest.mark.parametrize("level_db", [-10, -20, -30])
@pytest.mark.parametrize("delay_ms", [50, 150, 400])
async def test_the_agent_is_not_interrupted_by_its_own_voice(detector: Detector, level_db: int, delay_ms: int) -> None:
    phone = Loudspeaker(EchoPath(level_db, delay_ms), detector)
    await phone.play(9_000)
    # So loud an echo pauses two answers of a hundred (docs/echo.md), and one may be this, by the last bit of a sum.
    assert phone.kinds().count("response.paused") <= (level_db >= -10)
    assert "response.interrupted" not in phone.kinds()
    assert "response.done" in phone.kinds(), "the greeting came to its end"
    phone.call.end("test over")


@pytest.mark.parametrize("level_db", [-10, -20, -90])
async def test_a_caller_on_a_loudspeaker_is_heard_within_200_ms(detector: Detector, level_db: int) -> None:
    phone = Loudspeaker(EchoPath(level_db, 150), detector)
    await phone.play(3_000)
    assert "response.paused" not in phone.kinds()
    await phone.play(200, caller_says("Wait, stop."))
    assert phone.kinds()[-1] == "response.paused"
    phone.call.end("test over")


async def test_the_recogniser_hears_no_echo_and_the_recording_keeps_it(detector: Detector) -> None:
    phone = Loudspeaker(EchoPath(-10, 150), detector)
    await phone.play(3_000)
    phone.call.end("test over")
    phone.talk.listening.stop()
    loudest = [
        np.abs(np.frombuffer(bytes(pcm), np.int16)[-16_000:]).max() for pcm in (phone.raw, phone.recognizer.audio)
    ]
    assert loudest[0] > 4 * loudest[1]


async def test_without_the_canceller_the_echo_interrupts(detector: Detector) -> None:
    phone = Loudspeaker(EchoPath(-10, 150), detector, echo_canceller=False)
    await phone.play(3_000)
    phone.call.end("test over")
    assert "response.paused" in phone.kinds()
