"""Long calls: the beginning is summed up beside the turns, tools keep their results, and a failure costs nothing."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridge.brains.condenser import PROMPT, RETRY_MESSAGES, Condenser, CondenseRules
from bridge.brains.history import MAX_MESSAGES, SUMMARY, History
from bridge.brains.llm_client import make_llm_client
from bridge.brains.messages import AT_WORK, Message
from bridge.brains.model import Model, ModelOptions
from tests.support.llm_brain import brain, collect
from tests.support.llm_server import Answer, LlmServer


def tool(number: int, content: str = "done") -> list[Message]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": content},
    ]


def long_history(turns: int) -> History:
    history = History("You are kind.")
    for number in range(turns):
        history.said(f"question {number}")
        history.heard(f"answer {number}", tool(number) if number % 3 == 0 else [])
    return history


def condenser(server: LlmServer, after: int = 10, keep: int = 4) -> Condenser:
    return Condenser(Model(make_llm_client(server.url, "k"), ModelOptions("m")), CondenseRules(after, keep))


async def done(condensing: Condenser) -> None:
    await asyncio.gather(*condensing._tasks.values())


async def test_the_beginning_becomes_one_message_and_the_rest_stays_as_it_was_heard() -> None:
    history = long_history(6)
    kept = history.messages()[-4:]
    async with LlmServer("Ada wants a table.") as server:
        condensing = condenser(server)
        condensing.consider(history)
        condensing.consider(history)  # it is being done already
        await done(condensing)
        assert len(server.requests) == 1
        system, told = server.requests[0]["messages"]
    assert system["content"] == PROMPT
    assert told["content"].startswith(
        "Caller: question 0\nThe agent used book: {}\nbook answered: done\nAgent: answer 0\n"
    )
    messages = history.messages()
    assert messages[:2] == [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": SUMMARY.format("Ada wants a table.")},
    ]
    assert messages[-4:] == kept
    assert len(messages) < 10


@pytest.mark.parametrize("seed", range(50))
def test_no_tool_is_parted_from_its_result_and_none_at_work_is_summed_up(seed: int) -> None:
    choose = random.Random(seed)
    history = History()
    for number in range(40):
        history.said(f"question {number}")
        results = [
            tool(100 * number + k, AT_WORK if choose.random() < 0.03 else "done") for k in range(choose.randrange(3))
        ]
        history.heard(f"answer {number}", [message for pair in results for message in pair])
    older = history.older(choose.randrange(1, 60))
    rest = history.messages()[len(older) :]
    assert all(message["content"] != AT_WORK for message in older)
    assert rest[0]["role"] == "user"
    calls = {call["id"] for message in older for call in message.get("tool_calls", ())}
    assert calls == {message["tool_call_id"] for message in older if message["role"] == "tool"}


async def test_a_turn_does_not_wait_for_it_and_may_go_on_meanwhile() -> None:
    async with LlmServer(
        respond=lambda messages: Answer(rest="short.") if messages[0]["content"] == PROMPT else Answer("Yes.")
    ) as server:
        condensing = condenser(server)
        async with brain(server, system_prompt="You are kind.") as ai:
            ai.history, ai._condenser = long_history(6), condensing
            for said in ("one", "two"):
                await collect(ai.answer(said))
                ai.heard("Yes.", interrupted=False)
            server.go_on.set()
            await done(condensing)
            contents = [message["content"] for message in ai.history.messages()]
    assert contents[1] == SUMMARY.format("short.")
    assert contents[-4:] == ["one", "Yes.", "two", "Yes."]


async def test_what_was_forgotten_meanwhile_is_not_summed_up() -> None:
    history = long_history(6)
    async with LlmServer(Answer(rest="short.")) as server:
        condensing = condenser(server)
        condensing.consider(history)
        await server.asked.wait()
        for number in range(MAX_MESSAGES):
            history.said(f"more {number}")
            history.heard("Yes.", [])
        server.go_on.set()
        await done(condensing)
    assert len(history) == MAX_MESSAGES
    assert all("summed up" not in message["content"] for message in history.messages())


@pytest.mark.parametrize("failure", [Answer(status=500), Answer(""), Answer(dies=True)])
async def test_a_failure_leaves_the_history_and_is_not_repeated_at_once(failure: Answer) -> None:
    history = long_history(6)
    before = history.messages()
    async with LlmServer(failure, "Later.") as server:
        condensing = condenser(server)
        condensing.consider(history)
        await done(condensing)
        assert history.messages() == before
        condensing.consider(history)
        assert not condensing._tasks
        for number in range(RETRY_MESSAGES):
            history.said(f"more {number}")
            history.heard("Yes.", [])
        condensing.consider(history)
        await done(condensing)
    assert history.messages()[1]["content"] == SUMMARY.format("Later.")


async def test_it_can_be_switched_off() -> None:
    async with LlmServer() as server:
        condensing = condenser(server, after=0)
        condensing.consider(long_history(50))
        assert not condensing._tasks
