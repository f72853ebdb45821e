"""A warm transfer as the server sees it: a colleague is told of the call, and takes it or the agent goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from bridge.brains.brain import Say
from bridge.brains.brief import BriefBrain
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.waiting_sounds import RINGING_AFTER_MS
from bridge.line.audiosocket import Kind
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.whole_app import Bench, whole_app

REFUND = ToolCall(
    "transfer", {"destination": "boss", "reason": "Rückgabe", "summary": "Ann wants to give her bicycle back."}
)
WARM = {"transfer_allow": "boss=ext,201,1; in,3??,1", "transfer_warm": "boss; 30?", "filler": ""}


@asynccontextmanager
async def transferred(model: LlmServer) -> AsyncIterator[tuple[Bench, str, list[dict[str, Any]]]]:
    """A call that a model has transferred, its id, and what its observers were told."""
    async with whole_app(llm_base_url=model.url, llm_model="m", greeting="Hi.", **WARM) as bench:
        peer = await bench.call(name="Ann", **{"from": "030 1"})
        conversation = bench.app.calls.find(peer.id)
        assert conversation is not None
        events: list[dict[str, Any]] = []
        conversation.journal.observers.append(events.append)
        await peer.until(lambda: bool(bench.engine.spoken))
        await bench.said(peer, "I want to give my bicycle back.")
        await peer.drain()
        assert (await bench.next(peer)).startswith("ext,201,1,warm,")
        await peer.close()
        yield bench, str(peer.id), events


@pytest.mark.parametrize(("key", "decision"), [(b"1", "taken"), (b"2", "declined")])
async def test_a_colleague_hears_the_models_summary_and_decides_by_a_key(key: bytes, decision: str) -> None:
    async with (
        LlmServer(Answer("I connect you.", [REFUND])) as model,
        transferred(model) as (bench, call_id, events),
    ):
        (transfer,) = (tool for tool in model.requests[0]["tools"] if tool["function"]["name"] == "transfer")
        assert {"destination", "reason", "summary"} == set(transfer["function"]["parameters"]["properties"])
        async with bench.http.get(f"/v1/calls/{call_id}/topic") as response:
            assert await response.text() == "Ruckgabe", "in letters that every telephone has"
        colleague = await bench.call(brief_of=call_id)
        await colleague.until(lambda: len(bench.engine.spoken) >= 3)
        assert await bench.next(colleague) == "undecided"
        colleague.send(Kind.DTMF, key)
        await colleague.drain()
        assert await bench.next(colleague) == decision
        await colleague.close()
        spoken = " ".join(text for text, _ in bench.engine.spoken)
        assert "A call for you, from Ann. Ann wants to give her bicycle back." in spoken
        (briefed,) = (event for event in events if event["type"] == "transfer.briefed")
        assert (briefed["destination"], briefed["reason"]) == ("ext,201,1", "Rückgabe")
        assert briefed["said"] == "I want to give my bicycle back."
        outcomes = [event["outcome"] for event in events if event["type"] == "transfer.done"]
        assert outcomes == (["taken"] if decision == "taken" else [])


async def test_the_agent_goes_on_with_what_was_said_and_knows_why_nobody_took_the_call() -> None:
    async with (
        LlmServer(Answer("I connect you.", [REFUND]), "Nobody is there. Shall they call you back?") as model,
        transferred(model) as (bench, call_id, events),
    ):
        peer = await bench.call(continues=call_id, transfer="BUSY")
        await peer.until(lambda: len(model.requests) == 2)
        told = model.requests[1]["messages"]
        assert {"role": "user", "content": "I want to give my bicycle back."} in told
        assert "the transfer to ext,201,1 did not succeed: the line is busy" in told[-1]["content"]
        variables = (await bench.get(f"/v1/calls/{peer.id}"))["conversation"]["variables"]
        assert (variables["name"], variables["from"], variables["transfer_failed"]) == (
            "Ann",
            "030 1",
            "the line is busy",
        )
        (done,) = (event for event in events if event["type"] == "transfer.done")
        assert done["outcome"] == "busy"
        await peer.close()


async def test_a_colleague_is_shown_the_callers_name_alone_and_hears_no_ringing_where_there_is_no_reason() -> None:
    """The server has one agent, without a file of agents, and so without a name of its own."""
    async with whole_app(greeting="Hello.", ringing="eu", **WARM) as bench:
        peer = await bench.call(name="Ann")
        await peer.hear(voiced=True)
        await bench.post(f"/v1/calls/{peer.id}/hangup", {"next": "boss"})
        await peer.drain()
        await peer.close()
        async with bench.http.get(f"/v1/calls/{peer.id}/topic") as response:
            assert (response.status, await response.text()) == (200, "")
        bench.engine.gate.clear()
        colleague = await bench.call(brief_of=str(peer.id))
        frames = [await colleague.receive() for _ in range(RINGING_AFTER_MS // 20 + 10)]
        assert not any(any(frame.payload) for frame in frames if frame is not None)
        bench.engine.gate.set()
        await colleague.hear(voiced=True)
        await colleague.close()


async def test_a_script_tells_the_caller_why_nobody_took_the_call() -> None:
    async with whole_app(greeting="Hello.", transfer_failed="Sorry, {name}: {transfer_failed}.", **WARM) as bench:
        peer = await bench.call(name="Ann")
        await peer.hear(voiced=True)
        await bench.post(f"/v1/calls/{peer.id}/hangup", {"next": "boss"})
        await peer.drain()
        await peer.close()
        peer = await bench.call(continues=str(peer.id), transfer="BUSY")
        await peer.until(lambda: len(bench.engine.spoken) >= 3)
        assert [text for text, _ in bench.engine.spoken] == ["Hello.", "Sorry, Ann: the line is busy.", "Hello."]
        await peer.close()


async def test_a_call_that_nobody_knows_any_more_begins_anew_and_is_told_to_no_colleague() -> None:
    async with whole_app(greeting="Hello.") as bench:
        peer = await bench.call(continues=str(uuid4()), transfer="BUSY")
        await peer.hear(voiced=True)
        assert bench.engine.spoken[0][0] == "Hello."
        status, body = await bench.post("/v1/calls", {"id": str(uuid4()), "brief_of": str(uuid4())})
        assert (status, body["code"]) == (404, "NOT_FOUND")
        await peer.close()


async def test_who_presses_no_key_is_told_twice_and_decides_nothing() -> None:
    decisions: list[str] = []
    brain = BriefBrain("A call.", decisions.append)
    said = [[piece async for piece in pieces] for pieces in (brain.greet(), brain.silence(), brain.silence())]
    assert said == [[Say("A call.")], [Say("A call.")], []]
    assert decisions == ["undecided"]


def test_only_what_is_allowed_may_be_warm() -> None:
    with pytest.raises(ValidationError, match="'chef' is neither one of these names: boss"):
        ConversationSettings.model_validate({**WARM, "transfer_warm": "chef"})
