"""Calls in which everything happens that a journal tells of: each line is one by the schema."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bridge.brains.brain import Brain, HandOver, Piece, Say, Transfer
from bridge.brains.tool_result import ToolResult
from bridge.conversation.agents.agents import Agents
from bridge.conversation.briefs import tell_of_brief, tell_of_outcome
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.tool_journal import ToolJournal
from bridge.hearing.events import HoldBegan, HoldEnded, SpeechStarted, SpeechStopped, Transcript
from bridge.journal.events import KINDS, schema
from bridge.line.call import Call
from tests.bridge.conversation import rig as conversation_rig
from tests.bridge.conversation.rig import END, PuppetBrain, Rig
from tests.support.lone_agent import lone_agent

BY_SCRIPTED_CALLERS = "caller.act"
"""What no server writes: tests/bridge/converse looks at it."""
MAX_TICKS = 2_000


class TakingOver(PuppetBrain):
    """A brain that can follow another one."""

    async def take_over(self, earlier: Brain, reason: str = "", said: str = "") -> AsyncGenerator[Piece]:
        yield Say("Sales here.")


class EveryKind(Rig):
    """A call that one agent may give to another."""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.talk.journal.lines]

    async def until(self, kind: str, count: int = 1) -> None:
        for _ in range(MAX_TICKS):
            if [line["type"] for line in self.lines()].count(kind) >= count:
                return
            await self.tick(10)
        raise AssertionError(f"no {kind}")


def two_agents(call: Call, brain: Brain, settings: ConversationSettings, transfer_allow: str = "") -> CallAgent:
    desk = lone_agent(call, brain, settings, transfer_allow).agent
    return CallAgent(call, desk, lambda _: brain, Agents([desk, replace(desk, name="sales")], desk.name))


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> EveryKind:
    monkeypatch.setattr(conversation_rig, "lone_agent", two_agents)
    monkeypatch.setattr(conversation_rig, "PuppetBrain", TakingOver)
    return EveryKind("Hello there.", variables={"from": "5550100", "amd": "MACHINE", "name": "Ann"})


async def a_call_in_which_everything_happens(rig: EveryKind) -> None:
    talk = rig.talk
    talk.start()
    await rig.until("response.started")
    talk.heard(SpeechStarted())
    await rig.until("agent.silenced")
    talk.heard(SpeechStopped())
    talk.heard(Transcript(""))
    await rig.until("response.resumed")
    await rig.until("response.done")
    talk.heard(SpeechStarted())
    talk.heard(SpeechStopped())
    await rig.say("A bicycle, please.", "Which one? We have many.", END)
    await rig.until("response.started", 2)
    await rig.say("I mean two of them.", "One moment.", HandOver("sales", "wants two bicycles"), END)
    await rig.until("call.handed_over")
    await rig.until("response.done", 3)
    talk.switch_language("de")
    talk.caller_changed("204", "Bob")
    talk.digit_received("5")
    talk.heard(HoldBegan(100))
    talk.heard(HoldEnded())
    tools = ToolJournal()
    tools.journal = talk.journal
    tools("book", '{"n": 2}', ToolResult("table 7"), 40)
    talk.next.transfer = Transfer("ext-queues,400,1", "bicycles", "two of them")
    tell_of_brief(talk)
    tell_of_outcome(talk, "taken")
    talk.fail("llm", "HTTP 500")
    rig.call.end("caller hung up")
    await rig.settle()


async def test_every_kind_of_line_is_one_by_the_schema(rig: EveryKind) -> None:
    await a_call_in_which_everything_happens(rig)
    lines = rig.lines()
    assert {line["type"] for line in lines} == KINDS - {BY_SCRIPTED_CALLERS}
    validator = Draft202012Validator(schema())
    for line in lines:
        validator.validate(line)
    # Readers pass over unknown fields, so the schema allows them; what we write is to be found in it.
    known = {
        kind["properties"]["type"]["const"]: set(kind["properties"]) for kind in schema()["$defs"].values()
        if "const" in kind.get("properties", {}).get("type", {})
    }  # fmt: skip
    unknown = {(line["type"], name) for line in lines for name in line.keys() - known[line["type"]]}
    assert not unknown
