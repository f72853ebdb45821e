"""What the caller says while one agent hands the call to another: ticked by hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import pytest

from bridge.brains.brain import Brain, HandOver, Piece, Say
from bridge.conversation.agents.agents import Agents
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.settings import ConversationSettings
from bridge.hearing.events import Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.line.call import Call
from tests.bridge.conversation import rig as conversation_rig
from tests.bridge.conversation.rig import END, PuppetBrain, Rig
from tests.support.lone_agent import lone_agent


class Follower(PuppetBrain):
    """Takes a call over, and keeps what it is told of it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    async def take_over(self, earlier: Brain, reason: str = "", said: str = "") -> AsyncGenerator[Piece]:
        self.told.append(said)
        yield Say("Sales here.")


class TwoAgents(Rig):
    """A call of the desk's, which may give it to sales."""

    follower: Follower


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoAgents]:
    follower = Follower()

    def agents(call: Call, brain: Brain, settings: ConversationSettings, transfer_allow: str = "") -> CallAgent:
        desk = lone_agent(call, brain, settings, transfer_allow).agent
        sales = replace(desk, name="sales")
        brains = {desk.name: brain, sales.name: follower}
        return CallAgent(call, desk, lambda agent: brains[agent.name], Agents([desk, sales], desk.name))

    monkeypatch.setattr(conversation_rig, "lone_agent", agents)
    made = TwoAgents()
    made.follower = follower
    made.talk.start()
    await made.settle()
    yield made
    made.call.end("test over")
    await made.settle()


async def test_words_over_a_line_that_is_said_to_its_end_go_to_the_agent_that_takes_over(rig: TwoAgents) -> None:
    await rig.say("sales please", Say("I connect you now.", interruptible=False), HandOver("sales"), END)
    await rig.tick_ms(400)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    rig.talk.heard(Transcript("it is about invoice twelve"))
    await rig.tick_ms(2_000)
    assert rig.follower.told == ["it is about invoice twelve"]
    assert rig.talk.agent.name == "sales"
    assert rig.brain.said == ["sales please"], "nobody else answers it"


async def test_what_is_said_in_the_last_second_goes_to_the_agent_that_takes_over(rig: TwoAgents) -> None:
    await rig.say("sales please", "One two.", HandOver("sales"), END)
    await rig.tick_ms(400)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    rig.talk.heard(Transcript("okay"))
    await rig.tick_ms(2_000)
    assert rig.follower.told == ["okay"]


async def test_words_that_come_late_are_answered_by_the_agent_that_took_over(rig: TwoAgents) -> None:
    await rig.say("sales please", "One two.", HandOver("sales"), END)
    await rig.tick_ms(700)
    start_ms = rig.talk.audio_ms - 60
    await rig.tick_ms(200)
    assert rig.follower.told == [""]
    await rig.tick_ms(20)
    rig.follower.put("Twelve.", END)
    rig.talk.heard(SpeechStarted(start_ms))
    rig.talk.heard(Partial("invoice", start_ms))
    rig.talk.heard(SpeechStopped())
    rig.talk.heard(Transcript("invoice twelve", start_ms))
    await rig.tick_ms(2_000)
    assert rig.follower.said == ["invoice twelve"]
