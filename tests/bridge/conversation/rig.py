"""A call in conversation that is ticked by hand, and a brain that says what the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from uuid import uuid4

from prometheus_client import CollectorRegistry

from bridge.brains.brain import Brain, Piece, Say
from bridge.conversation.conversation import Conversation
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.settings import ConversationSettings
from bridge.hearing.events import Transcript
from bridge.line.apology import Apology
from bridge.line.call import Call
from engine.speech import Style
from tests.support.fakes import FakeEngine
from tests.support.lone_agent import lone_agent

FRAME_S = 0.02
END = None


class PuppetBrain(Brain):
    """A brain that says what the test puts into `pieces`; END ends a turn."""

    def __init__(self, greeting: str = "") -> None:
        self.greeting = greeting
        self.pieces: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
        self.said: list[str] = []
        self.heard_texts: list[tuple[str, bool]] = []
        self.open = 0
        self.confirmed = self.taken_back = 0

    def prepare(self, said: str) -> AsyncGenerator[Piece]:
        return self.answer(said)

    def confirm(self) -> None:
        self.confirmed += 1

    def take_back(self) -> None:
        self.taken_back += 1

    async def greet(self) -> AsyncGenerator[Piece]:
        if self.greeting:
            yield Say(self.greeting)

    async def answer(self, said: str) -> AsyncGenerator[Piece]:
        self.said.append(said)
        self.open += 1
        try:
            while (piece := await self.pieces.get()) is not END:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.open -= 1

    def pressed(self, digits: str, said: str = "") -> AsyncGenerator[Piece]:
        return self.answer(f"{said} keys {digits}".strip())

    def silence(self) -> AsyncGenerator[Piece]:
        return self.answer("silence")

    def misheard(self) -> AsyncGenerator[Piece]:
        return self.answer("misheard")

    def heard(self, text: str, *, interrupted: bool) -> None:
        self.heard_texts.append((text, interrupted))

    def put(self, *pieces: Piece | Exception | None) -> None:
        for piece in pieces:
            self.pieces.put_nowait(piece)


class Rig:
    """A call in conversation, and a clock that moves only when told to."""

    def __init__(
        self,
        greeting: str = "",
        apology: Apology | None = None,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.now_s = 100.0
        self.frames: list[bytes] = []
        self.hung_up = False
        self.engine = FakeEngine()
        self.brain = PuppetBrain(greeting)
        self.events: list[dict[str, object]] = []
        style = Style(language="en")  # the language is given and plain, so no thread has to find it out
        self.call = Call(uuid4(), self, self.engine, style, normalize=False, apology=apology, now_s=lambda: self.now_s)
        self.call.audio_received(0x10, bytes(320))
        chosen = ConversationSettings.model_validate({"filler_after_ms": 0, **settings})
        self.talk = Conversation(
            self.call,
            lone_agent(self.call, self.brain, chosen, "sales=ext-queues,400,1"),
            ConversationMetrics(CollectorRegistry()),
            variables=variables,
            now_s=lambda: self.now_s,
        )
        self.talk.journal.observers.append(self.events.append)

    def send(self, pcm: bytes, rate_hz: int) -> None:
        self.frames.append(pcm)

    def take_back(self) -> int:
        return 0

    def hang_up(self) -> None:
        self.hung_up = True

    async def settle(self, rounds: int = 300) -> None:
        """Lets everything run that can without the clock."""
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def tick(self, ticks: int = 1) -> int:
        """Ticks the call; returns how many of the ticks had sound."""
        before = len(self.frames)
        for _ in range(ticks):
            self.now_s += FRAME_S
            self.call.tick(self.now_s)
            while self.talk._deadline_s() <= self.now_s:
                self.talk._expire()
            await self.settle(30)
        await self.settle()
        return sum(any(frame) for frame in self.frames[before:])

    async def tick_ms(self, ms: int) -> int:
        return await self.tick(ms // 20)

    async def say(self, said: str, *pieces: Piece | Exception | None) -> None:
        """Has the caller say something, and the brain answer."""
        self.brain.put(*pieces)
        self.talk.heard(Transcript(said))
        await self.settle()

    def kinds(self) -> list[object]:
        return [event["type"] for event in self.events]


async def conversation(rigs: list[Rig], greeting: str = "", apology: Apology | None = None, **settings: object) -> Rig:
    rig = Rig(greeting, apology, **settings)
    rigs.append(rig)
    rig.talk.start()
    await rig.settle()
    rig.brain.heard_texts.clear()
    return rig
